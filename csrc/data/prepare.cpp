#include "data/prepare.h"

#include <stdlib.h>  // mkdtemp

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/counter_rng.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "data/documents.h"

namespace setun {
namespace {

using formats::TokenShard;

constexpr int kPreparationVersion = 1;  // raise when the same inputs would give other tokens

std::string hex(uint64_t value) {
  char out[17];
  std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(value));
  return out;
}

struct Splits {
  Documents train, validation;
};

Documents read_documents(const DataOptions& options, const std::vector<std::string>& paths) {
  return options.jsonl.empty() ? read_text(paths, options.document)
                               : read_jsonl(paths, options.jsonl_field);
}

Splits read_splits(const DataOptions& options) {
  const auto& paths = options.jsonl.empty() ? options.text : options.jsonl;
  Documents all = read_documents(options, paths);
  SETUN_CHECK(!all.texts.empty(), "data: the corpus (", join(paths, ", "), ") holds no text");
  if (!options.validation.empty()) {
    return {std::move(all), read_documents(options, options.validation)};
  }
  auto [train, validation] = split_documents(std::move(all), options.validation_fraction);
  return {std::move(train), std::move(validation)};
}

// Everything that decides the prepared tokens.
uint64_t cache_key(const DataOptions& options, const Splits& splits) {
  const TokenizerOptions& t = options.tokenizer;
  const std::string facts =
      str(kPreparationVersion, "|", hex(splits.train.content_hash), "|",
          hex(splits.validation.content_hash), "|", enum_name(options.document), "|",
          options.jsonl.empty() ? "text" : options.jsonl_field, "|", options.validation.empty(),
          "|", options.validation_fraction, "|", enum_name(t.kind), "|",
          t.model.empty() ? str(t.vocab_size, "|", t.character_coverage)
                          : hex(random_key(1, read_file(t.model))));
  return random_key(0, facts);
}

std::shared_ptr<const Tokenizer> open_tokenizer(const TokenizerOptions& options,
                                                const fs::path& trained) {
  switch (options.kind) {
    case TokenizerKind::kBytes:
      return make_byte_tokenizer();
    case TokenizerKind::kSentencePiece:
      return load_sentencepiece(options.model.empty() ? trained.string() : options.model);
  }
  SETUN_ASSERT(false, "tokenizer kind");
  return nullptr;
}

// Every document followed by the end-of-text token.
void write_split(const fs::path& path, const Documents& documents, const Tokenizer& tokenizer) {
  std::vector<uint32_t> tokens;
  std::vector<uint64_t> starts;
  for (const std::string_view text : documents.texts) {
    starts.push_back(tokens.size());
    const std::vector<uint32_t> encoded = tokenizer.encode(text);
    tokens.insert(tokens.end(), encoded.begin(), encoded.end());
    tokens.push_back(tokenizer.end_of_text());
  }
  formats::write_token_shard(path, tokens, starts, tokenizer.id(),
                             static_cast<uint64_t>(tokenizer.vocab_size()));
}

// Fills a temporary folder and renames it to `folder`: complete or absent, whoever else prepares
// the same.
void fill_cache(const DataOptions& options, const Splits& splits, const fs::path& folder) {
  std::string pattern = folder.string() + ".tmp-XXXXXX";
  SETUN_CHECK(::mkdtemp(pattern.data()) != nullptr, pattern,
              ": cannot be made: ", std::strerror(errno));
  const fs::path temporary = pattern;
  const fs::path model = temporary / "tokenizer.model";
  if (options.tokenizer.kind == TokenizerKind::kSentencePiece && options.tokenizer.model.empty()) {
    log_info("training a tokenizer of ", options.tokenizer.vocab_size, " pieces on ",
             human_bytes(static_cast<double>(splits.train.bytes())));
    train_sentencepiece(splits.train.texts, options.tokenizer, model.string());
  }
  const auto tokenizer = open_tokenizer(options.tokenizer, model);
  write_split(temporary / "train.tokens", splits.train, *tokenizer);
  if (!splits.validation.texts.empty()) {
    write_split(temporary / "validation.tokens", splits.validation, *tokenizer);
  }
  const nlohmann::ordered_json facts = {{"train_bytes", splits.train.bytes()},
                                        {"validation_bytes", splits.validation.bytes()}};
  write_file_atomic(temporary / "facts.json", facts.dump() + "\n");
  std::error_code refused;
  fs::rename(temporary, folder, refused);
  if (refused) {  // another process was faster: its folder holds the same bytes
    fs::remove_all(temporary);
    SETUN_CHECK(fs::exists(folder / "facts.json"), folder.string(),
                ": cannot be made: ", refused.message());
  }
}

TokenSlice whole(const fs::path& path) {
  auto shard = std::make_shared<const TokenShard>(path);
  shard->verify_checksum();
  return {shard, 0, shard->size()};
}

PreparedData prepare_text(const DataOptions& options) {
  const Splits splits = read_splits(options);
  const fs::path folder = fs::path(options.cache) / hex(cache_key(options, splits));
  if (!fs::exists(folder / "facts.json")) {
    fs::create_directories(options.cache);
    fill_cache(options, splits, folder);
  }
  PreparedData data;
  data.tokenizer = open_tokenizer(options.tokenizer, folder / "tokenizer.model");
  data.vocab_size = data.tokenizer->vocab_size();
  data.train = {whole(folder / "train.tokens")};
  data.train_bytes = splits.train.bytes();
  if (!splits.validation.texts.empty()) {
    data.validation = {whole(folder / "validation.tokens")};
    data.validation_bytes = splits.validation.bytes();
  }
  return data;
}

std::vector<TokenSlice> open_token_files(const std::vector<std::string>& paths, TokenDtype dtype) {
  const auto width =
      dtype == TokenDtype::kUint16 ? formats::TokenWidth::kUint16 : formats::TokenWidth::kUint32;
  std::vector<TokenSlice> slices;
  for (const std::string& path : paths) {
    auto shard = std::make_shared<const TokenShard>(path, width);
    shard->verify_checksum();
    slices.push_back({shard, 0, shard->size()});
  }
  return slices;
}

// Cuts the last `fraction` of the tokens off into the second list.
std::vector<TokenSlice> cut_tail(std::vector<TokenSlice>& slices, double fraction) {
  uint64_t total = 0;
  for (const TokenSlice& slice : slices) {
    total += slice.size();
  }
  auto wanted = static_cast<uint64_t>(static_cast<double>(total) * fraction);
  std::vector<TokenSlice> tail;
  while (wanted > 0) {
    TokenSlice& last = slices.back();
    const uint64_t taken = std::min(wanted, last.size());
    tail.insert(tail.begin(), {last.shard, last.end - taken, last.end});
    last.end -= taken;
    wanted -= taken;
    if (last.size() == 0) {
      slices.pop_back();
    }
  }
  return tail;
}

void check_tokens(PreparedData& data) {
  for (const auto* split : {&data.train, &data.validation}) {
    for (const TokenSlice& slice : *split) {
      if (data.tokenizer) {
        const uint64_t made_by = slice.shard->info().vocab_id;
        SETUN_CHECK(made_by == 0 || made_by == data.tokenizer->id(), slice.shard->path().string(),
                    ": was made with another tokenizer than data.tokenizer");
        slice.shard->check_vocabulary(static_cast<uint64_t>(data.vocab_size));
        continue;
      }
      uint64_t largest = slice.shard->info().vocab_size;
      for (uint64_t i = 0; i < slice.size() && slice.shard->info().vocab_size == 0; ++i) {
        largest = std::max<uint64_t>(largest, uint64_t{slice[i]} + 1);
      }
      data.vocab_size = std::max(data.vocab_size, static_cast<int64_t>(largest));
    }
  }
}

PreparedData prepare_tokens(const DataOptions& options) {
  PreparedData data;
  data.train = open_token_files(options.tokens, options.token_dtype);
  data.validation = options.validation.empty()
                        ? cut_tail(data.train, options.validation_fraction)
                        : open_token_files(options.validation, options.token_dtype);
  if (!options.tokenizer.model.empty()) {
    data.tokenizer = load_sentencepiece(options.tokenizer.model);
    data.vocab_size = data.tokenizer->vocab_size();
  }
  check_tokens(data);
  return data;
}

std::string slice_identity(const TokenSlice& slice) {
  return str(hex(slice.shard->info().checksum), ":", slice.begin, "-", slice.end);
}

}  // namespace

PreparedData prepare_data(const DataOptions& options) {
  return options.tokens.empty() ? prepare_text(options) : prepare_tokens(options);
}

std::string data_fingerprint(const std::vector<TokenSlice>& slices) {
  std::vector<std::string> parts;
  for (const TokenSlice& slice : slices) {
    parts.push_back(slice_identity(slice));
  }
  return join(parts, " ");
}

void check_fingerprint(const std::string& expected, const std::vector<TokenSlice>& slices) {
  if (expected == data_fingerprint(slices)) {
    return;
  }
  for (const TokenSlice& slice : slices) {
    SETUN_CHECK(expected.find(slice_identity(slice)) != std::string::npos,
                "data: ", slice.shard->path().string(),
                ": the training tokens changed since the checkpoint was written (checksum ",
                hex(slice.shard->info().checksum),
                "); put the old text back, or start a new run with another run.output");
  }
  fail(
      "data: the list of training files changed since the checkpoint was written; put it back, or "
      "start a new run with another run.output");
}

}  // namespace setun
