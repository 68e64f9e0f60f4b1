// A tokenizer: text to token ids and back, without loss for valid UTF-8. Two kinds: raw bytes,
// SentencePiece BPE.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/data_options.h"

namespace setun {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::vector<uint32_t> encode(std::string_view text) const = 0;
  virtual std::string decode(const std::vector<uint32_t>& tokens) const = 0;
  virtual int64_t vocab_size() const = 0;
  virtual uint32_t end_of_text() const = 0;
  virtual uint64_t id() const = 0;            // hash of everything that decides encode()
  virtual std::string_view kind() const = 0;  // "bytes", "sentencepiece"
};

// Token b is byte b; 256 ends a text.
std::shared_ptr<const Tokenizer> make_byte_tokenizer();

// Throws Error naming the file when it is no SentencePiece model or has neither an end-of-text
// piece nor byte pieces.
std::shared_ptr<const Tokenizer> load_sentencepiece(const std::string& model_path);

// Trains a BPE model on texts and writes it atomically to model_path: byte fallback and no
// normalisation, so nothing is lost; pieces never cross a line end; the same texts give the same
// bytes. Throws Error when the texts cannot fill options.vocab_size.
void train_sentencepiece(const std::vector<std::string_view>& texts,
                         const TokenizerOptions& options, const std::string& model_path);

}  // namespace setun
