#include "data/tokenizers/tokenizer.h"

namespace setun {
namespace {

class ByteTokenizer final : public Tokenizer {
 public:
  std::vector<uint32_t> encode(std::string_view text) const override {
    std::vector<uint32_t> tokens;
    tokens.reserve(text.size());
    for (const char c : text) {
      tokens.push_back(static_cast<unsigned char>(c));
    }
    return tokens;
  }
  std::string decode(const std::vector<uint32_t>& tokens) const override {
    std::string text;
    for (const uint32_t token : tokens) {
      if (token < 256) {
        text.push_back(static_cast<char>(token));
      }
    }
    return text;
  }
  int64_t vocab_size() const override { return 257; }
  uint32_t end_of_text() const override { return 256; }
  uint64_t id() const override { return 0x6279746573000001ULL; }  // "bytes", version 1
  std::string_view kind() const override { return "bytes"; }
};

}  // namespace

std::shared_ptr<const Tokenizer> make_byte_tokenizer() { return std::make_shared<ByteTokenizer>(); }

}  // namespace setun
