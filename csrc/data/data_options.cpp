#include "data/data_options.h"

namespace setun {

namespace {

constexpr int64_t kMost = 1'000'000;  // no product of batch sizes overflows 64 bits

}  // namespace

void DataOptions::validate(Errors& errors) const {
  const int kinds = (text.empty() ? 0 : 1) + (jsonl.empty() ? 0 : 1) + (tokens.empty() ? 0 : 1);
  if (kinds == 0) {
    errors.add(
        "text",
        "no data: name a text file, e.g. data.text=my_text.txt (or data.jsonl, data.tokens)");
  } else if (kinds > 1) {
    errors.add(text.empty() ? "jsonl" : "text", "give one of text, jsonl and tokens, not several");
  }
  if (!jsonl.empty() && jsonl_field.empty()) {
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
  if (!(validation_fraction >= 0 && validation_fraction < 1)) {
    errors.add("validation_fraction", "must be in [0, 1), got ", validation_fraction);
  }
  if (cache.empty()) {
    errors.add("cache", "must name a folder");
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
