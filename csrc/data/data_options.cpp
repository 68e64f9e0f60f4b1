#include "data/data_options.h"

namespace setun {

namespace {

constexpr int64_t kMost = 1'000'000;  // no product of batch sizes overflows 64 bits

template <class T>
void check_source(Errors& errors, const char* key, const T& source, bool chosen, DataKind kind) {
  if (chosen) {
    Errors own;
    source.validate(own);
    errors.add_all(key, own);
  } else if (source != T{}) {
    errors.add(key, "is of data.kind ", key, "; the kind is ", enum_name(kind));
  }
}

// Keys of text that samples would ignore: an option without effect is a mistake.
void check_text_keys(const DataOptions& options, Errors& errors) {
  const DataOptions defaults;
  const auto unused = [&](const char* key, bool given) {
    if (given) {
      errors.add(key, "is of data.kind text; the kind is ", enum_name(options.kind));
    }
  };
  unused("text", options.text != defaults.text);
  unused("jsonl", options.jsonl != defaults.jsonl);
  unused("jsonl_field", options.jsonl_field != defaults.jsonl_field);
  unused("tokens", options.tokens != defaults.tokens);
  unused("token_dtype", options.token_dtype != defaults.token_dtype);
  unused("document", options.document != defaults.document);
  unused("tokenizer", options.tokenizer != defaults.tokenizer);
  unused("cache", options.cache != defaults.cache);
  unused("context", options.context != defaults.context);
  unused("packing", options.packing != defaults.packing);
  unused("prefetch", options.prefetch != defaults.prefetch);
}

void check_samples(const DataOptions& options, Errors& errors) {
  check_text_keys(options, errors);
  const bool generated = options.kind == DataKind::kXor;
  if (generated && !options.validation.empty()) {
    errors.add("validation",
               "names files, but the samples of data.kind xor are generated; set "
               "data.xor.validation_samples");
  }
  if (generated && options.validation_fraction != DataOptions{}.validation_fraction) {
    errors.add("validation_fraction",
               "is of files; with data.kind xor set data.xor.validation_samples");
  }
  if (options.seed < 0) {
    errors.add("seed", "must be 0 or more, got ", options.seed);
  }
}

void check_text(const DataOptions& options, Errors& errors) {
  const auto &text = options.text, &jsonl = options.jsonl, &tokens = options.tokens;
  const TokenizerOptions& tokenizer = options.tokenizer;
  if (options.seed != DataOptions{}.seed) {
    errors.add("seed", "is of generated and split samples; text is split by position");
  }
  const int kinds = (text.empty() ? 0 : 1) + (jsonl.empty() ? 0 : 1) + (tokens.empty() ? 0 : 1);
  if (kinds == 0) {
    errors.add(
        "text",
        "no data: name a text file, e.g. data.text=my_text.txt (or data.jsonl, data.tokens)");
  } else if (kinds > 1) {
    errors.add(text.empty() ? "jsonl" : "text", "give one of text, jsonl and tokens, not several");
  }
  if (!jsonl.empty() && options.jsonl_field.empty()) {
    errors.add("jsonl_field", "must name the key of the text");
  }
  if (tokenizer.kind == TokenizerKind::kBytes && !tokenizer.model.empty()) {
    errors.add("tokenizer.model",
               "is a SentencePiece file, but tokenizer.kind is bytes; set "
               "data.tokenizer.kind=sentencepiece");
  }
  if (tokenizer.vocab_size < 260 || tokenizer.vocab_size > 1'000'000) {
    errors.add("tokenizer.vocab_size",
               "must be 260 (256 bytes, two control pieces, some text) to 1000000, got ",
               tokenizer.vocab_size);
  }
  if (!(tokenizer.character_coverage > 0 && tokenizer.character_coverage <= 1)) {
    errors.add("tokenizer.character_coverage", "must be in (0, 1], got ",
               tokenizer.character_coverage);
  }
  if (options.cache.empty()) {
    errors.add("cache", "must name a folder");
  }
}

}  // namespace

void DataOptions::validate(Errors& errors) const {
  if (kind == DataKind::kText) {
    check_text(*this, errors);
  } else {
    check_samples(*this, errors);
  }
  check_source(errors, "xor", xor_bits, kind == DataKind::kXor, kind);
  check_source(errors, "csv", csv, kind == DataKind::kCsv, kind);
  check_source(errors, "folders", folders, kind == DataKind::kFolders, kind);
  if (!(validation_fraction >= 0 && validation_fraction < 1)) {
    errors.add("validation_fraction", "must be in [0, 1), got ", validation_fraction);
  }
  for (const auto& [key, value] : {std::pair{"context", context}, {"batch", batch}}) {
    if (value < 1 || value > kMost) {
      errors.add(key, "must be 1 to ", kMost, ", got ", value);
    }
  }
  if (prefetch < 0 || prefetch > 1024) {
    errors.add("prefetch", "must be 0 to 1024, got ", prefetch);
  }
}

}  // namespace setun
