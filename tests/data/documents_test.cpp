// Text and JSONL as documents: rules, splits, UTF-8, errors that name file and place.
#include "data/documents.h"

#include "base/error.h"
#include "base/text.h"
#include "support/catch.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::TempDir;

std::vector<std::string> texts(const Documents& documents) {
  return {documents.texts.begin(), documents.texts.end()};
}

TEST_CASE("the UTF-8 check accepts every code point and refuses everything else", "[data]") {
  const auto encode = [](uint32_t c) {
    std::string out;
    const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xC0 | c >> 6), put(0x80 | (c & 63));
    } else if (c < 0x10000) {
      put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 63)), put(0x80 | (c & 63));
    } else {
      put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 63)), put(0x80 | (c >> 6 & 63)),
          put(0x80 | (c & 63));
    }
    return out;
  };
  std::size_t wrong = 0;
  for (uint32_t c = 0; c < 0x110000 + 100; ++c) {
    const bool valid = c < 0x110000 && (c < 0xD800 || c > 0xDFFF);
    wrong += (find_invalid_utf8(encode(c)) == std::string_view::npos) == valid ? 0 : 1;
  }
  CHECK(wrong == 0);
  for (const std::string bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xF0\x80\x80\x80",
                                "\xF5\x80\x80\x80", "\xFF", "\xE2\x82", "\xC3("}) {
    CHECK(find_invalid_utf8("ab" + bad) == 2);
  }
}

TEST_CASE("document rules: file, line, paragraph", "[data]") {
  const TempDir folder;
  test::write_text(folder / "t", "one\ntwo\n\n\nthree\n\nfour");
  const std::vector<std::string> path = {(folder / "t").string()};
  CHECK(texts(read_text(path, DocumentRule::kFile)) ==
        std::vector<std::string>{"one\ntwo\n\n\nthree\n\nfour"});
  CHECK(texts(read_text(path, DocumentRule::kLine)) ==
        std::vector<std::string>{"one", "two", "three", "four"});
  CHECK(texts(read_text(path, DocumentRule::kParagraph)) ==
        std::vector<std::string>{"one\ntwo\n", "three\n", "four"});
}

TEST_CASE("JSONL takes the named field and names the line that is wrong", "[data]") {
  const TempDir folder;
  test::write_text(folder / "j", "{\"text\": \"a\\nb\", \"n\": 1}\n\n{\"text\": \"c\"}\n");
  CHECK(texts(read_jsonl({(folder / "j").string()}, "text")) ==
        std::vector<std::string>{"a\nb", "c"});
  CHECK_THROWS_WITH(read_jsonl({(folder / "j").string()}, "body"),
                    Contains("j:1") && Contains("has no key \"body\""));
  test::write_text(folder / "k", "{\"text\": \"a\"}\n{broken\n");
  CHECK_THROWS_WITH(read_jsonl({(folder / "k").string()}, "text"),
                    Contains("k:2") && Contains("is not JSON"));
  test::write_text(folder / "l", "{\"text\": 3}\n");
  CHECK_THROWS_WITH(read_jsonl({(folder / "l").string()}, "text"), Contains("is not a string"));
}

TEST_CASE("missing, empty and badly encoded files are named", "[data]") {
  const TempDir folder;
  CHECK_THROWS_WITH(read_text({(folder / "no").string()}, DocumentRule::kFile),
                    Contains("no: cannot be opened"));
  test::write_text(folder / "e", "");
  CHECK_THROWS_WITH(read_text({(folder / "e").string()}, DocumentRule::kFile),
                    Contains("e: is empty"));
  test::write_text(folder / "latin", "caf\xE9 au lait");
  CHECK_THROWS_WITH(read_text({(folder / "latin").string()}, DocumentRule::kFile),
                    Contains("byte 3 is not valid UTF-8") && Contains("iconv"));
}

TEST_CASE("splits: the last documents, or the end of a single one at a line end; nothing is lost",
          "[data]") {
  const TempDir folder;
  std::string text;
  for (int i = 0; i < 100; ++i) {
    text += "line " + std::to_string(i) + "\n";
  }
  test::write_text(folder / "t", text);
  const std::vector<std::string> path = {(folder / "t").string()};
  const auto [train, validation] = split_documents(read_text(path, DocumentRule::kLine), 0.1);
  CHECK(train.texts.size() == 90);
  CHECK(texts(validation).front() == "line 90");
  const auto [head, tail] = split_documents(read_text(path, DocumentRule::kFile), 0.1);
  CHECK(texts(head).front() + texts(tail).front() == text);
  CHECK(texts(head).front().back() == '\n');
  CHECK(static_cast<double>(tail.bytes()) ==
        Approx(0.1 * static_cast<double>(text.size())).margin(10));
  CHECK(split_documents(read_text(path, DocumentRule::kLine), 0).second.texts.empty());
}

}  // namespace
}  // namespace setun
