// Register values: 64 bits that hold an integer or the bits of a float; conversions of both.
#pragma once

#include <cmath>
#include <cstring>

#include "module.h"

namespace ptxi {

inline float f32(uint64_t v) {
  const auto bits = static_cast<uint32_t>(v);
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
inline uint64_t bits(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}
inline double f64(uint64_t v) {
  double d;
  std::memcpy(&d, &v, 8);
  return d;
}
inline uint64_t bits(double d) {
  uint64_t v;
  std::memcpy(&v, &d, 8);
  return v;
}

// v cut to the type's width.
inline uint64_t cut(Type type, uint64_t v) {
  if (type == Type::kPred) {
    return v & 1;
  }
  const int width = 8 * bytes_of(type);
  return width == 64 ? v : v & ((uint64_t{1} << width) - 1);
}
// The low bits of the type's width as a signed number.
inline int64_t extended(Type type, uint64_t v) {
  const int unused = 64 - 8 * bytes_of(type);
  return static_cast<int64_t>(v << unused) >> unused;
}

inline float half_to_float(uint64_t h) {
  const int exponent = static_cast<int>(h >> 10) & 31;
  const auto mantissa = static_cast<float>(h & 1023);
  float magnitude = std::ldexp(mantissa + 1024, exponent - 25);
  if (exponent == 0) {
    magnitude = std::ldexp(mantissa, -24);
  } else if (exponent == 31) {
    magnitude = mantissa != 0 ? NAN : INFINITY;
  }
  return (h & 0x8000) != 0 ? -magnitude : magnitude;
}

inline uint64_t float_to_half(double x) {  // to nearest even
  const uint64_t sign = std::signbit(x) ? 0x8000 : 0;
  const double a = std::fabs(x);
  if (x != x) {
    return 0x7fff;
  }
  if (a >= 65520) {
    return sign | 0x7c00;
  }
  if (a < std::ldexp(1.0, -14)) {
    return sign | static_cast<uint64_t>(std::nearbyint(std::ldexp(a, 24)));
  }
  int exponent = 0;
  std::frexp(a, &exponent);
  const auto mantissa = static_cast<uint64_t>(std::nearbyint(std::ldexp(a, 11 - exponent)));
  return sign | ((static_cast<uint64_t>(exponent + 13) << 10) + mantissa);
}

inline uint64_t to_bf16(float f) {
  if (f != f) {
    return 0x7fff;
  }
  uint64_t u = bits(f);
  u += 0x7fff + ((u >> 16) & 1);
  return u >> 16;
}

}  // namespace ptxi
