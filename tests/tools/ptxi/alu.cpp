// Arithmetic of one lane: instruction name and type to a function, chosen once when the text is
// read. Approximate instructions (rcp.approx, ex2.approx ...) are refused: their bits are the
// hardware's own.
#include <algorithm>
#include <cstdlib>

#include "values.h"

namespace ptxi {
namespace {

using I = const Instruction&;
using U = uint64_t;
using Table = std::map<std::string, Alu>;

const Table& float_table() {
  static const Table table = {
      {"add", [](I, U a, U b, U) { return bits(f32(a) + f32(b)); }},
      {"sub", [](I, U a, U b, U) { return bits(f32(a) - f32(b)); }},
      {"mul", [](I, U a, U b, U) { return bits(f32(a) * f32(b)); }},
      {"div", [](I, U a, U b, U) { return bits(f32(a) / f32(b)); }},
      {"rcp", [](I, U a, U, U) { return bits(1.0F / f32(a)); }},
      {"sqrt", [](I, U a, U, U) { return bits(std::sqrt(f32(a))); }},
      {"fma", [](I, U a, U b, U c) { return bits(std::fma(f32(a), f32(b), f32(c))); }},
      {"neg", [](I, U a, U, U) { return cut(Type::kB32, a ^ 0x80000000u); }},
      {"abs", [](I, U a, U, U) { return a & 0x7fffffffu; }},
      {"min", [](I, U a, U b, U) { return bits(std::fmin(f32(a), f32(b))); }},
      {"max", [](I, U a, U b, U) { return bits(std::fmax(f32(a), f32(b))); }},
      {"copysign", [](I, U a, U b, U) { return (b & 0x7fffffffu) | (a & 0x80000000u); }},
  };
  return table;
}

const Table& double_table() {
  static const Table table = {
      {"add", [](I, U a, U b, U) { return bits(f64(a) + f64(b)); }},
      {"sub", [](I, U a, U b, U) { return bits(f64(a) - f64(b)); }},
      {"mul", [](I, U a, U b, U) { return bits(f64(a) * f64(b)); }},
      {"div", [](I, U a, U b, U) { return bits(f64(a) / f64(b)); }},
      {"fma", [](I, U a, U b, U c) { return bits(std::fma(f64(a), f64(b), f64(c))); }},
      {"neg", [](I, U a, U, U) { return bits(-f64(a)); }},
      {"abs", [](I, U a, U, U) { return bits(std::fabs(f64(a))); }},
      {"sqrt", [](I, U a, U, U) { return bits(std::sqrt(f64(a))); }},
  };
  return table;
}

U multiply(I i, U a, U b, U c) {
  const Type t = i.type();
  if (i.has("wide")) {
    const U product =
        is_signed(t) ? static_cast<U>(extended(t, a) * extended(t, b)) : cut(t, a) * cut(t, b);
    return cut(bytes_of(t) == 4 ? Type::kB64 : Type::kB32, product + c);
  }
  if (!i.has("hi")) {
    return cut(t, a * b + c);
  }
  if (bytes_of(t) == 8) {
    const auto product =
        is_signed(t) ? static_cast<unsigned __int128>(
                           static_cast<__int128>(static_cast<int64_t>(a)) * static_cast<int64_t>(b))
                     : static_cast<unsigned __int128>(a) * b;
    return static_cast<U>(product >> 64) + c;
  }
  const U product =
      is_signed(t) ? static_cast<U>(extended(t, a) * extended(t, b)) : cut(t, a) * cut(t, b);
  return cut(t, (product >> (8 * bytes_of(t))) + c);
}

U shift_right(I i, U a, U b, U) {
  const Type t = i.type();
  const U by = cut(Type::kB32, b), width = static_cast<U>(bytes_of(t)) * 8;
  if (is_signed(t)) {
    return cut(t, static_cast<U>(extended(t, a) >> std::min(by, width - 1)));
  }
  return by >= width ? 0 : cut(t, a) >> by;
}

U divide(I i, U a, U b, U) {
  const Type t = i.type();
  const bool quotient = i.name == "div";
  if (cut(t, b) == 0) {
    die("line %d: integer division by zero", i.line);
  }
  if (is_signed(t)) {
    const int64_t x = extended(t, a), y = extended(t, b);
    return cut(t, static_cast<U>(quotient ? x / y : x % y));
  }
  return quotient ? cut(t, a) / cut(t, b) : cut(t, a) % cut(t, b);
}

U dot4(I i, U a, U b, U c) {
  auto sum = static_cast<uint32_t>(c);
  const auto byte = [](U v, int q, bool sign) {
    return sign ? static_cast<int>(static_cast<int8_t>(v >> (8 * q)))
                : static_cast<int>(static_cast<uint8_t>(v >> (8 * q)));
  };
  for (int q = 0; q < 4; ++q) {
    sum += static_cast<uint32_t>(byte(a, q, i.types[0] == Type::kS32) *
                                 byte(b, q, i.types[1] == Type::kS32));
  }
  return sum;
}

U permute(I i, U a, U b, U c) {  // bit 3 of a selector nibble replicates the byte's sign
  if (i.modifiers.size() > 1) {
    die("line %d: prmt mode not implemented", i.line);
  }
  const U both = b << 32 | cut(Type::kB32, a);
  U out = 0;
  for (int q = 0; q < 4; ++q) {
    const U selector = (c >> (4 * q)) & 15;
    U byte = (both >> (8 * (selector & 7))) & 0xff;
    if ((selector & 8) != 0) {
      byte = (byte & 0x80) != 0 ? 0xff : 0;
    }
    out |= byte << (8 * q);
  }
  return out;
}

U extract(I i, U a, U b, U c) {  // bfe: c bits of a from bit b
  const Type t = i.type();
  const U from = b & 0xff, count = c & 0xff, width = static_cast<U>(bytes_of(t)) * 8;
  const U top = (a >> (width - 1)) & 1;
  U out = 0, last = 0;
  for (U q = 0; q < count && q < width; ++q) {
    const U outside = is_signed(t) ? top : 0;
    last = from + q < width ? (a >> (from + q)) & 1 : outside;
    out |= last << q;
  }
  if (is_signed(t) && last == 1 && count < width) {
    out |= ~U{0} << count;
  }
  return cut(t, out);
}

U funnel_shift(I i, U a, U b, U c) {
  U by = cut(Type::kB32, c);
  by = i.has("wrap") ? by & 31 : std::min<U>(by, 32);
  const U both = (b << 32) | cut(Type::kB32, a);
  return cut(Type::kB32, i.has("l") ? (both << by) >> 32 : both >> by);
}

U leading_zeros(I i, U a, U, U) {
  const int width = 8 * bytes_of(i.type());
  const U v = cut(i.type(), a);
  return static_cast<U>(v != 0 ? __builtin_clzll(v) - (64 - width) : width);
}

U highest_bit(I i, U a, U, U) {  // of a negative number: the highest 0
  const Type t = i.type();
  const U v = is_signed(t) && extended(t, a) < 0 ? cut(t, ~a) : cut(t, a);
  if (v == 0) {
    return 0xffffffffu;
  }
  const int position = 63 - __builtin_clzll(v);
  return static_cast<U>(i.has("shiftamt") ? 8 * bytes_of(t) - 1 - position : position);
}

U bit_reverse(I i, U a, U, U) {
  const int width = 8 * bytes_of(i.type());
  U out = 0;
  for (int q = 0; q < width; ++q) {
    out |= ((a >> q) & 1) << (width - 1 - q);
  }
  return out;
}

U smaller(I i, U a, U b, U) {
  const Type t = i.type();
  const bool first = is_signed(t) ? extended(t, a) <= extended(t, b) : cut(t, a) <= cut(t, b);
  return cut(t, first ? a : b);
}

U larger(I i, U a, U b, U) {
  const Type t = i.type();
  const bool first = is_signed(t) ? extended(t, a) >= extended(t, b) : cut(t, a) >= cut(t, b);
  return cut(t, first ? a : b);
}

U shift_left(I i, U a, U b, U) {
  const U by = cut(Type::kB32, b);
  return by >= static_cast<U>(bytes_of(i.type())) * 8 ? 0 : cut(i.type(), a << by);
}

U magnitude(I i, U a, U, U) {
  return cut(i.type(), static_cast<U>(std::llabs(extended(i.type(), a))));
}

const Table& integer_table() {
  static const Table table = {
      {"add", [](I i, U a, U b, U) { return cut(i.type(), a + b); }},
      {"sub", [](I i, U a, U b, U) { return cut(i.type(), a - b); }},
      {"mul", [](I i, U a, U b, U) { return multiply(i, a, b, 0); }},
      {"mad", multiply},
      {"neg", [](I i, U a, U, U) { return cut(i.type(), 0 - a); }},
      {"abs", magnitude},
      {"and", [](I i, U a, U b, U) { return cut(i.type(), a & b); }},
      {"or", [](I i, U a, U b, U) { return cut(i.type(), a | b); }},
      {"xor", [](I i, U a, U b, U) { return cut(i.type(), a ^ b); }},
      {"not", [](I i, U a, U, U) { return cut(i.type(), ~a); }},
      {"shl", shift_left},
      {"shr", shift_right},
      {"min", smaller},
      {"max", larger},
      {"div", divide},
      {"rem", divide},
      {"popc",
       [](I i, U a, U, U) { return static_cast<U>(__builtin_popcountll(cut(i.type(), a))); }},
      {"clz", leading_zeros},
      {"bfind", highest_bit},
      {"brev", bit_reverse},
      {"bfe", extract},
      {"prmt", permute},
      {"shf", funnel_shift},
      {"dp4a", dot4},
      {"selp", [](I, U a, U b, U c) { return (c & 1) != 0 ? a : b; }},
  };
  return table;
}

double rounded(I i, double x) {
  if (i.has("rni")) {
    return std::nearbyint(x);
  }
  if (i.has("rzi")) {
    return std::trunc(x);
  }
  if (i.has("rmi")) {
    return std::floor(x);
  }
  return i.has("rpi") ? std::ceil(x) : x;
}

double to_real(Type from, U a) {
  switch (from) {
    case Type::kF32:
      return f32(a);
    case Type::kF64:
      return f64(a);
    case Type::kBf16:
      return f32(a << 16);
    case Type::kF16:
      return half_to_float(a);
    default:
      return is_signed(from) ? static_cast<double>(extended(from, a))
                             : static_cast<double>(cut(from, a));
  }
}

U real_to_integer(I i, Type to, double x) {  // saturates; NaN is 0
  if (x != x) {
    return 0;
  }
  const int width = 8 * bytes_of(to);
  const double low = is_signed(to) ? -std::ldexp(1.0, width - 1) : 0;
  const double high = std::ldexp(1.0, is_signed(to) ? width - 1 : width);
  const double v = std::max(rounded(i, x), low);
  if (v >= high) {
    return is_signed(to) ? (U{1} << (width - 1)) - 1 : cut(to, ~U{0});
  }
  return cut(to, is_signed(to) ? static_cast<U>(static_cast<int64_t>(v)) : static_cast<U>(v));
}

U integer_to_integer(I i, Type to, Type from, U a) {
  int64_t v = is_signed(from) ? extended(from, a) : static_cast<int64_t>(cut(from, a));
  if (i.has("sat")) {
    const int width = 8 * bytes_of(to);
    const int64_t high = static_cast<int64_t>((U{1} << (is_signed(to) ? width - 1 : width)) - 1);
    v = std::clamp(v, is_signed(to) ? -high - 1 : 0, high);
  }
  return cut(to, static_cast<U>(v));
}

U convert(I i, U a, U b, U) {
  const Type to = i.types[0], from = i.types[1];
  if (to == Type::kBf16x2) {
    return to_bf16(f32(a)) << 16 | to_bf16(f32(b));
  }
  if (!is_float(to)) {
    return is_float(from) ? real_to_integer(i, to, to_real(from, a))
                          : integer_to_integer(i, to, from, a);
  }
  const double x = is_float(from) ? rounded(i, to_real(from, a)) : to_real(from, a);
  switch (to) {
    case Type::kF32:
      // A 64-bit integer must be rounded once, not through double.
      if (!is_float(from) && bytes_of(from) == 8) {
        return is_signed(from) ? bits(static_cast<float>(extended(from, a)))
                               : bits(static_cast<float>(a));
      }
      return bits(static_cast<float>(x));
    case Type::kF64:
      return bits(x);
    case Type::kBf16:
      return to_bf16(static_cast<float>(x));
    default:
      return float_to_half(x);
  }
}

template <class T>
bool compared(const std::string& how, T a, T b) {
  const bool ordered = a == a && b == b;
  if (how == "eq" || how == "ne") {
    return ordered && (a == b) == (how == "eq");
  }
  if (how == "lt" || how == "lo") {
    return a < b;
  }
  if (how == "le" || how == "ls") {
    return a <= b;
  }
  if (how == "gt" || how == "hi") {
    return a > b;
  }
  if (how == "ge" || how == "hs") {
    return a >= b;
  }
  if (how == "num" || how == "nan") {
    return ordered == (how == "num");
  }
  if (how.size() == 3 && how[2] == 'u') {  // equ, neu, ltu ...: true when unordered
    return !ordered || compared(how.substr(0, 2), a, b);
  }
  die("comparison %s", how.c_str());
}

}  // namespace

Alu find_alu(const Instruction& i) {
  if (i.name == "cvt") {
    return convert;
  }
  std::string name = i.name;
  if (i.code == Code::kAtomic || i.code == Code::kReduce) {  // the operation is a modifier
    for (const char* operation : {"add", "min", "max", "or", "and", "xor"}) {
      name = i.has(operation) ? operation : name;
    }
    if (i.has("cas") || i.has("exch") || i.has("inc")) {
      die("line %d: %s is not implemented", i.line, i.full.c_str());
    }
  }
  if (i.has("approx") || i.has("ftz") || i.has("full")) {
    die("line %d: %s has no exact result", i.line, i.full.c_str());
  }
  const bool bitwise = name == "selp";  // whatever the type
  const Table& table = i.type() == Type::kF32 && !bitwise   ? float_table()
                       : i.type() == Type::kF64 && !bitwise ? double_table()
                                                            : integer_table();
  const auto known = table.find(name);
  if (known == table.end()) {
    die("line %d: %s is not implemented", i.line, i.full.c_str());
  }
  return known->second;
}

bool compare(const Instruction& i, uint64_t a, uint64_t b) {
  const Type t = i.type();
  if (t == Type::kF32) {
    return compared(i.compare, f32(a), f32(b));
  }
  if (t == Type::kF64) {
    return compared(i.compare, f64(a), f64(b));
  }
  return is_signed(t) ? compared(i.compare, extended(t, a), extended(t, b))
                      : compared(i.compare, cut(t, a), cut(t, b));
}

}  // namespace ptxi
