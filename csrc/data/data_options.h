// The `data` section: what text or which labelled samples, which tokenizer, how sequences are cut.
// Files are prepared once into token shards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/enum_names.h"
#include "base/error.h"
#include "data/sample_options.h"

namespace setun {

enum class TokenizerKind { kBytes, kSentencePiece };
// What one document of a text file is: the whole file, each line, or each run of lines between
// blank lines.
enum class DocumentRule { kFile, kLine, kParagraph };
// cross: documents are joined by the end-of-text token and cut into windows that may hold several,
// attention crosses. isolate: the same windows, but attention does not cross a document border and
// the border's target is not counted. whole: a document starts on a new row; the rest of its last
// row is padding whose targets are not counted.
enum class Packing { kCross, kIsolate, kWhole };
enum class TokenDtype { kUint16, kUint32 };

template <>
struct EnumNames<TokenizerKind> {
  static constexpr auto table = enum_table<TokenizerKind>(
      {{TokenizerKind::kBytes, "bytes"}, {TokenizerKind::kSentencePiece, "sentencepiece"}});
};
template <>
struct EnumNames<DocumentRule> {
  static constexpr auto table = enum_table<DocumentRule>({{DocumentRule::kFile, "file"},
                                                          {DocumentRule::kLine, "line"},
                                                          {DocumentRule::kParagraph, "paragraph"}});
};
template <>
struct EnumNames<Packing> {
  static constexpr auto table = enum_table<Packing>(
      {{Packing::kCross, "cross"}, {Packing::kIsolate, "isolate"}, {Packing::kWhole, "whole"}});
};
template <>
struct EnumNames<TokenDtype> {
  static constexpr auto table =
      enum_table<TokenDtype>({{TokenDtype::kUint16, "uint16"}, {TokenDtype::kUint32, "uint32"}});
};

struct TokenizerOptions {
  TokenizerKind kind = TokenizerKind::kBytes;
  std::string model;  // an existing SentencePiece .model file; empty: trained on the training text
  int64_t vocab_size =
      2048;  // of a SentencePiece model to be trained; bytes always has 257 (256 + end of text)
  double character_coverage = 1.0;
  bool operator==(const TokenizerOptions&) const = default;
};

struct DataOptions {
  DataKind kind = DataKind::kText;
  // Labelled samples: the one of its kind counts. `seed` draws generated samples and the validation
  // split, so that runs with other run.seed see the same data.
  XorOptions xor_bits;
  CsvOptions csv;
  FolderOptions folders;
  int64_t seed = 1;

  // Text: exactly one kind of source. A single string may stand for a list of one. Globs are not
  // expanded.
  std::vector<std::string> text;   // UTF-8 text files
  std::vector<std::string> jsonl;  // one JSON object a line
  std::string jsonl_field = "text";
  std::vector<std::string>
      tokens;  // token files: Setun shards, llm.c .bin, headerless nanoGPT .bin
  TokenDtype token_dtype = TokenDtype::kUint16;  // of headerless token files
  DocumentRule document = DocumentRule::kFile;   // how a text file splits into documents

  TokenizerOptions tokenizer;
  std::string cache =
      "data/cache";  // prepared shards and tokenizers live here, by the hash of what made them

  // Validation: separate files when given, else the last `validation_fraction` of the documents
  // (of the tokens, when there is one document); of csv and folders that share of the samples,
  // drawn from `seed`.
  std::vector<std::string> validation;
  double validation_fraction = 0.05;

  int64_t context = 256;  // tokens per sequence
  int64_t batch = 8;      // sequences per micro-batch
  Packing packing = Packing::kCross;
  bool shuffle = true;   // window order drawn from (seed, epoch)
  int64_t prefetch = 4;  // micro-batches prepared ahead by one thread; 0: none

  bool operator==(const DataOptions&) const = default;
  void validate(Errors& errors) const;
};

}  // namespace setun
