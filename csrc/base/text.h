// Small text helpers shared by errors and tables: nearest name, byte sizes, wildcard match, UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace setun {

// The candidate nearest to `word` by edit distance, or "" when none is near (distance > max(2,
// length / 3)).
std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates);

// 1536 -> "1.5 KB", 1.3e9 -> "1.3 GB" (powers of 1000).
std::string human_bytes(double bytes);

// 1234567 -> "1,234,567".
std::string thousands(int64_t number);

// Whole seconds, rounded up: 62 -> "1:02", 3725 -> "1:02:05".
std::string clock_text(double seconds);

// '*' matches any run of characters; everything else matches itself.
bool wildcard_match(std::string_view pattern, std::string_view text);

// Offset of the first byte that is not part of valid UTF-8 (no surrogates, no overlong forms), or
// npos.
std::size_t find_invalid_utf8(std::string_view text);

std::string join(const std::vector<std::string>& parts, std::string_view separator);

}  // namespace setun
