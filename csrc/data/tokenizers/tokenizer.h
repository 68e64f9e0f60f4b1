// A tokenizer: text to token ids and back. Implementations: bytes (256 bytes + end of text), SentencePiece.
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

std::shared_ptr<const Tokenizer> make_byte_tokenizer();
std::shared_ptr<const Tokenizer> load_sentencepiece(const std::string& model_path);
// Trains a BPE model (byte fallback, no normalisation that loses text) on files and writes it atomically to model_path.
void train_sentencepiece(const std::vector<std::string>& text_paths, const TokenizerOptions& options,
                         const std::string& model_path);

}  // namespace setun
