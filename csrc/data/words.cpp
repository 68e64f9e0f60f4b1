#include "data/words.h"

namespace setun {
namespace {

// The character at `at`, which moves behind it.
char32_t next_character(std::string_view text, std::size_t& at, TextEncoding encoding) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  if (encoding == TextEncoding::kLatin1 || lead < 0x80) {
    return lead;
  }
  const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  char32_t character = lead & (0x3FU >> more);
  for (int i = 0; i < more; ++i) {
    character = character << 6 | (static_cast<unsigned char>(text[at++]) & 0x3FU);
  }
  return character;
}

bool in_word(char32_t c) {
  if (c < 0x80) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  }
  return c > 0xBF && c != 0xD7 && c != 0xF7 && !(c >= 0x2000 && c <= 0x206F) &&
         !(c >= 0x3000 && c <= 0x303F);
}

char32_t lower(char32_t c) {
  const bool upper = (c >= 'A' && c <= 'Z') || (c >= 0xC0 && c <= 0xDE && c != 0xD7);
  return upper ? c + 0x20 : c;
}

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  const int more = c >= 0x10000 ? 3 : c >= 0x800 ? 2 : 1;
  const unsigned lead = more == 3 ? 0xF0U : more == 2 ? 0xE0U : 0xC0U;
  out += static_cast<char>(lead | c >> (6 * more));
  for (int i = more - 1; i >= 0; --i) {
    out += static_cast<char>(0x80U | (c >> (6 * i) & 0x3FU));
  }
}

}  // namespace

void for_each_word(std::string_view text, TextEncoding encoding,
                   const std::function<void(const std::string&)>& use) {
  std::string word;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t character = next_character(text, at, encoding);
    if (in_word(character)) {
      append_utf8(word, lower(character));
    } else if (!word.empty()) {
      use(word);
      word.clear();
    }
  }
  if (!word.empty()) {
    use(word);
  }
}

}  // namespace setun
