// Labelled samples of the `data` section, for classifiers: where they come from and how they become
// numbers. They are read into memory whole.
#pragma once

#include <cstdint>
#include <string>

#include "base/enum_names.h"
#include "base/error.h"

namespace setun {

// text: token sequences for a language model. xor: generated bits. csv: numbers and a label column.
// folders: texts in one folder per class, as bags of words.
enum class DataKind { kText, kXor, kCsv, kFolders };
// Of a column of numbers, by the training split alone: divided by its largest magnitude, or shifted
// and scaled to mean 0 and standard deviation 1. A constant column is left as it is by `max` and
// becomes 0 by `standard`.
enum class Scaling { kNone, kMax, kStandard };
// Of a word in a bag: how often it stands there, or that times ln((1 + N) / (1 + n)) + 1 with n of
// the N training texts holding it, the bag then scaled to length 1.
enum class WordWeight { kCount, kTfIdf };
enum class TextEncoding { kUtf8, kLatin1 };

template <>
struct EnumNames<DataKind> {
  static constexpr auto table = enum_table<DataKind>({{DataKind::kText, "text"},
                                                      {DataKind::kXor, "xor"},
                                                      {DataKind::kCsv, "csv"},
                                                      {DataKind::kFolders, "folders"}});
};
template <>
struct EnumNames<Scaling> {
  static constexpr auto table = enum_table<Scaling>(
      {{Scaling::kNone, "none"}, {Scaling::kMax, "max"}, {Scaling::kStandard, "standard"}});
};
template <>
struct EnumNames<WordWeight> {
  static constexpr auto table =
      enum_table<WordWeight>({{WordWeight::kCount, "count"}, {WordWeight::kTfIdf, "tfidf"}});
};
template <>
struct EnumNames<TextEncoding> {
  static constexpr auto table =
      enum_table<TextEncoding>({{TextEncoding::kUtf8, "utf8"}, {TextEncoding::kLatin1, "latin1"}});
};

// Class = first bit xor second bit of 2 + noise random bits.
struct XorOptions {
  int64_t noise = 2;  // inputs that say nothing
  int64_t samples = 5000;
  int64_t validation_samples = 1000;
  bool operator==(const XorOptions&) const = default;
  void validate(Errors& errors) const;
};

struct CsvOptions {
  std::string file;  // plain or gzip
  bool header = false;
  int64_t label = -1;  // column of the class, a whole number from 0 on; -1: the last column
  Scaling scaling = Scaling::kNone;
  bool operator==(const CsvOptions&) const = default;
  void validate(Errors& errors) const;
};

struct FolderOptions {
  std::string root;             // <root>/<class>/**; or <root>/train/<class>/** and <root>/test/...
  std::string suffix = ".txt";  // of the files read; empty: every file
  TextEncoding encoding = TextEncoding::kUtf8;
  int64_t min_count = 1;  // words rarer in the training split are dropped
  WordWeight weight = WordWeight::kTfIdf;
  bool operator==(const FolderOptions&) const = default;
  void validate(Errors& errors) const;
};

}  // namespace setun
