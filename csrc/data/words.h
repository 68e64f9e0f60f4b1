// Lower-cased words of a text: runs of letters, digits and '_'. Every character beyond ASCII counts
// as a letter but for Latin-1 and general punctuation (U+0080..U+00BF, U+00D7, U+00F7,
// U+2000..U+206F, U+3000..U+303F); case is folded in ASCII and Latin-1 only.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "data/sample_options.h"

namespace setun {

// Calls use(word) with each word, in UTF-8, valid during the call. The text must be valid in its
// encoding.
void for_each_word(std::string_view text, TextEncoding encoding,
                   const std::function<void(const std::string&)>& use);

}  // namespace setun
