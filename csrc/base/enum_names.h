// One name table per closed choice: parse, print and the list in error messages all read it.
// Usage: template <> struct EnumNames<Color> { static constexpr auto table =
// enum_table<Color>({{Color::kRed, "red"}}); };
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace setun {

template <class E>
struct EnumNames;  // specialised beside each enum

template <class E, std::size_t N>
constexpr std::array<std::pair<E, std::string_view>, N> enum_table(
    const std::pair<E, std::string_view> (&rows)[N]) {
  return std::to_array(rows);
}

template <class E>
constexpr std::string_view enum_name(E value) {
  for (const auto& [candidate, name] : EnumNames<E>::table) {
    if (candidate == value) {
      return name;
    }
  }
  return "?";
}

template <class E>
constexpr std::optional<E> parse_enum(std::string_view text) {
  for (const auto& [value, name] : EnumNames<E>::table) {
    if (name == text) {
      return value;
    }
  }
  return std::nullopt;
}

// "absmean, none": for error messages and the reference.
template <class E>
std::string enum_list() {
  std::string out;
  for (const auto& [value, name] : EnumNames<E>::table) {
    out += (out.empty() ? "" : ", ") + std::string(name);
  }
  return out;
}

}  // namespace setun
