// Both tokenizers lose nothing, whatever the text; SentencePiece is trained deterministically and
// chunk by chunk alike.
#include "data/tokenizers/tokenizer.h"

#include "base/error.h"
#include "recipes/tiny.h"
#include "support/catch.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::TempDir;

const std::vector<std::string> kNasty = {"",
                                         " ",
                                         "  two  spaces  ",
                                         "\n",
                                         "\n\n\n",
                                         "a\nb\n",
                                         "\ttab\t",
                                         "no line end",
                                         "CR\r\nLF\r\n",
                                         "\xE2\x96\x81 mark \xE2\x96\x81\xE2\x96\x81",
                                         "naïve café — “quotes”",
                                         "日本語 \xF0\x9F\x98\x80 emoji",
                                         std::string("nul\0inside", 10),
                                         "<0x0A> <s> </s> <unk>",
                                         "zero\xE2\x80\x8Bwidth"};

std::shared_ptr<const Tokenizer> trained(const TempDir& folder,
                                         const std::string& name = "m.model") {
  const std::string text = test::tiny_text(30'000);
  train_sentencepiece({text}, {.kind = TokenizerKind::kSentencePiece, .vocab_size = 350},
                      (folder / name).string());
  return load_sentencepiece((folder / name).string());
}

TEST_CASE("decoding the codes of any text gives the text back", "[data]") {
  const TempDir folder;
  for (const auto& tokenizer : {make_byte_tokenizer(), trained(folder)}) {
    for (const std::string& text : kNasty) {
      INFO(tokenizer->kind() << ": " << text);
      const std::vector<uint32_t> tokens = tokenizer->encode(text);
      CHECK(tokenizer->decode(tokens) == text);
      for (const uint32_t token : tokens) {
        CHECK(token < static_cast<uint32_t>(tokenizer->vocab_size()));
        CHECK(token != tokenizer->end_of_text());
      }
    }
  }
}

TEST_CASE("a text cut at line ends gives the same tokens", "[data]") {
  const TempDir folder;
  const auto tokenizer = trained(folder);
  const std::string text = test::tiny_text(2'000) + "\n\n  x\n";
  const std::vector<uint32_t> whole = tokenizer->encode(text);
  for (std::size_t cut = text.find('\n'); cut != std::string::npos;
       cut = text.find('\n', cut + 1)) {
    std::vector<uint32_t> parts = tokenizer->encode(text.substr(0, cut + 1));
    const std::vector<uint32_t> rest = tokenizer->encode(text.substr(cut + 1));
    parts.insert(parts.end(), rest.begin(), rest.end());
    CHECK(parts == whole);
  }
}

TEST_CASE("the same text trains the same model, byte for byte, and another text another id",
          "[data]") {
  const TempDir folder;
  const auto first = trained(folder, "a.model"), second = trained(folder, "b.model");
  CHECK(test::read_text(folder / "a.model") == test::read_text(folder / "b.model"));
  CHECK(first->id() == second->id());
  CHECK(first->id() != make_byte_tokenizer()->id());
  CHECK(first->vocab_size() == 350);
}

TEST_CASE("a vocabulary the text cannot fill is refused with the remedy", "[data]") {
  const TempDir folder;
  const TokenizerOptions options{.kind = TokenizerKind::kSentencePiece, .vocab_size = 5000};
  CHECK_THROWS_WITH(train_sentencepiece({"too short a text"}, options, (folder / "m").string()),
                    Contains("5000 pieces") && Contains("Lower data.tokenizer.vocab_size"));
  CHECK_THROWS_WITH(train_sentencepiece({""}, options, (folder / "m").string()),
                    Contains("no text"));
}

TEST_CASE("a very long line trains and encodes", "[data]") {
  const TempDir folder;
  std::string line = test::tiny_text(60'000);
  std::replace(line.begin(), line.end(), '\n', ' ');
  train_sentencepiece({line}, {.kind = TokenizerKind::kSentencePiece, .vocab_size = 300},
                      (folder / "m").string());
  const auto tokenizer = load_sentencepiece((folder / "m").string());
  CHECK(tokenizer->decode(tokenizer->encode(line)) == line);
}

TEST_CASE("a file that is no SentencePiece model is refused by name", "[data]") {
  const TempDir folder;
  test::write_text(folder / "x.model", "not a model");
  CHECK_THROWS_WITH(load_sentencepiece((folder / "x.model").string()), Contains("x.model"));
  CHECK_THROWS_WITH(load_sentencepiece((folder / "absent").string()), Contains("absent"));
}

}  // namespace
}  // namespace setun
