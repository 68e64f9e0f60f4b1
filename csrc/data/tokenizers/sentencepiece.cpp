// SentencePiece BPE through its own library (1808.06226). A text is encoded line by line, each line
// end as the byte piece of '\n': no piece holds one, so the tokens do not depend on how a text is
// chunked. U+2581, which the library uses for the space, is written as its three byte pieces, so
// that it is not mistaken for one.
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <array>

#include "base/counter_rng.h"
#include "base/error.h"
#include "base/files.h"
#include "data/tokenizers/tokenizer.h"

namespace setun {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581
constexpr std::size_t kLongestSentence = 4000;  // bytes; longer lines are cut for training only

void check(const sentencepiece::util::Status& status, const std::string& what) {
  SETUN_CHECK(status.ok(), what, ": ", status.ToString());
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(const std::string& path) : id_(random_key(0, read_file(path))) {
    check(processor_.Load(path), path + ": is not a SentencePiece model");
    SETUN_CHECK(processor_.eos_id() >= 0, path,
                ": has no end-of-text piece (eos_id); train with eos_id >= 0");
    for (int byte = 0; byte < 256; ++byte) {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      const std::string piece = std::string("<0x") + kHex[static_cast<std::size_t>(byte) / 16] +
                                kHex[static_cast<std::size_t>(byte) % 16] + ">";
      bytes_[static_cast<std::size_t>(byte)] = static_cast<uint32_t>(processor_.PieceToId(piece));
      SETUN_CHECK(processor_.IsByte(processor_.PieceToId(piece)), path,
                  ": has no byte pieces, so some text would be lost; train with byte_fallback");
    }
  }

  std::vector<uint32_t> encode(std::string_view text) const override {
    std::vector<uint32_t> tokens;
    for (std::size_t start = 0; start < text.size();) {
      const std::size_t end = std::min(text.find('\n', start), text.size());
      encode_line(text.substr(start, end - start), tokens);
      if (end < text.size()) {
        tokens.push_back(bytes_['\n']);
      }
      start = end + 1;
    }
    return tokens;
  }

  std::string decode(const std::vector<uint32_t>& tokens) const override {
    std::vector<int> ids;
    for (const uint32_t token : tokens) {
      if (token < static_cast<uint32_t>(vocab_size())) {
        ids.push_back(static_cast<int>(token));
      }
    }
    std::string text;
    check(processor_.Decode(ids, &text), "SentencePiece decoding");
    return text;
  }

  int64_t vocab_size() const override { return processor_.GetPieceSize(); }
  uint32_t end_of_text() const override { return static_cast<uint32_t>(processor_.eos_id()); }
  uint64_t id() const override { return id_; }
  std::string_view kind() const override { return "sentencepiece"; }

 private:
  void encode_line(std::string_view line, std::vector<uint32_t>& tokens) const {
    for (std::size_t start = 0; start <= line.size();) {
      const std::size_t mark = std::min(line.find(kSpaceMark, start), line.size());
      std::vector<int> ids;
      const std::string_view part = line.substr(start, mark - start);
      check(processor_.Encode({part.data(), part.size()}, &ids), "SentencePiece encoding");
      tokens.insert(tokens.end(), ids.begin(), ids.end());
      if (mark == line.size()) {
        return;
      }
      for (const char byte : kSpaceMark) {
        tokens.push_back(bytes_[static_cast<unsigned char>(byte)]);
      }
      start = mark + kSpaceMark.size();
    }
  }

  sentencepiece::SentencePieceProcessor processor_;
  std::array<uint32_t, 256> bytes_{};
  uint64_t id_;
};

// Cuts texts into lines, and longer lines at a UTF-8 character after kLongestSentence bytes.
class LineIterator final : public sentencepiece::SentenceIterator {
 public:
  explicit LineIterator(const std::vector<std::string_view>& texts) : texts_(texts) { Next(); }
  bool done() const override { return done_; }
  const std::string& value() const override { return line_; }
  sentencepiece::util::Status status() const override { return {}; }

  void Next() override {
    line_.clear();
    while (line_.empty()) {
      if (text_ == texts_.size()) {
        done_ = true;
        return;
      }
      const std::string_view text = texts_[text_];
      if (at_ >= text.size()) {
        ++text_;
        at_ = 0;
        continue;
      }
      std::size_t end = std::min(text.find('\n', at_), text.size());
      const bool whole = end - at_ <= kLongestSentence;
      if (!whole) {
        end = at_ + kLongestSentence;
        while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
          --end;
        }
      }
      line_ = text.substr(at_, end - at_);
      at_ = whole ? end + 1 : end;
    }
  }

 private:
  const std::vector<std::string_view>& texts_;
  std::size_t text_ = 0, at_ = 0;
  std::string line_;
  bool done_ = false;
};

}  // namespace

std::shared_ptr<const Tokenizer> load_sentencepiece(const std::string& model_path) {
  return std::make_shared<SentencePieceTokenizer>(model_path);
}

void train_sentencepiece(const std::vector<std::string_view>& texts,
                         const TokenizerOptions& options, const std::string& model_path) {
  LineIterator lines(texts);
  SETUN_CHECK(!lines.done(), "data.tokenizer: there is no text to train a tokenizer on");
  const std::unordered_map<std::string, std::string> arguments = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(options.vocab_size)},
      {"character_coverage", std::to_string(options.character_coverage)},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "false"},
      {"byte_fallback", "true"},
      {"max_sentence_length", std::to_string(4 * kLongestSentence)},
      {"unk_id", "0"},
      {"eos_id", "1"},
      {"bos_id", "-1"},
      {"pad_id", "-1"},
      {"num_threads", "1"},
      {"minloglevel", "2"}};
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &lines, &model);
  SETUN_CHECK(
      status.ok(), "data.tokenizer.vocab_size: a SentencePiece model of ", options.vocab_size,
      " pieces cannot be trained on this text: ", status.ToString(),
      ". Lower data.tokenizer.vocab_size, give more text, or use data.tokenizer.kind=bytes");
  write_file_atomic(model_path, model);
}

}  // namespace setun
