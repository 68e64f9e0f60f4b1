// Text helpers of the PTX parser, and the names of types.
#include <array>
#include <cstdarg>
#include <cstdio>
#include <stdexcept>

#include "module.h"

namespace ptxi {
namespace {

struct TypeName {
  const char* name;
  Type type;
  int bytes;
};
constexpr std::array<TypeName, 18> kTypes = {{
    {"pred", Type::kPred, 1},
    {"b8", Type::kB8, 1},
    {"b16", Type::kB16, 2},
    {"b32", Type::kB32, 4},
    {"b64", Type::kB64, 8},
    {"u8", Type::kU8, 1},
    {"u16", Type::kU16, 2},
    {"u32", Type::kU32, 4},
    {"u64", Type::kU64, 8},
    {"s8", Type::kS8, 1},
    {"s16", Type::kS16, 2},
    {"s32", Type::kS32, 4},
    {"s64", Type::kS64, 8},
    {"f16", Type::kF16, 2},
    {"bf16", Type::kBf16, 2},
    {"bf16x2", Type::kBf16x2, 4},
    {"f32", Type::kF32, 4},
    {"f64", Type::kF64, 8},
}};

}  // namespace

void die(const char* format, ...) {
  char text[600];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw std::runtime_error(text);
}

Type type_of(const std::string& name) {
  for (const TypeName& t : kTypes) {
    if (name == t.name) {
      return t.type;
    }
  }
  return Type::kNone;
}

int bytes_of(Type type) {
  // kTypes lists the types in the order of the enumeration, after kNone.
  return type == Type::kNone ? 4 : kTypes[static_cast<size_t>(type) - 1].bytes;
}

bool is_signed(Type type) { return type >= Type::kS8 && type <= Type::kS64; }

bool is_float(Type type) { return type >= Type::kF16; }

bool Instruction::has(const char* modifier) const {
  for (const std::string& m : modifiers) {
    if (m == modifier) {
      return true;
    }
  }
  return false;
}

std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  const size_t last = text.find_last_not_of(" \t\r\n");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  std::string item;
  int depth = 0;
  for (const char c : text) {
    depth += c == '{' || c == '[' || c == '(' ? 1 : 0;
    depth -= c == '}' || c == ']' || c == ')' ? 1 : 0;
    if (c == ',' && depth == 0) {
      items.push_back(trim(item));
      item.clear();
    } else {
      item += c;
    }
  }
  if (!trim(item).empty()) {
    items.push_back(trim(item));
  }
  return items;
}

std::string without_comments(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text.compare(i, 2, "//") == 0) {
      i = std::min(text.find('\n', i), text.size());
    } else if (text.compare(i, 2, "/*") == 0) {
      const size_t end = text.find("*/", i) + 2;
      for (; i < end; ++i) {
        out += text[i] == '\n' ? "\n" : "";
      }
    } else {
      out += text[i++];
    }
  }
  return out;
}

}  // namespace ptxi
