// What a kernel may call: barriers, shuffles, votes, atomics, integer and rounding intrinsics, and
// the PTX operations behind cuda/gpu.h's wrappers. Semantics: CUDA C++ Programming Guide (warp
// functions) and the PTX ISA (ldmatrix, cp.async, mma); conformance_test.cpp holds this to them.
#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#include "runtime.h"

inline void __syncthreads(CUEMU_LOC) { cuemu::block_barrier(0, file, line); }
inline int __syncthreads_count(int p, CUEMU_LOC) {
  return cuemu::block_barrier(p != 0, file, line);
}
inline int __syncthreads_or(int p, CUEMU_LOC) {
  return cuemu::block_barrier(p != 0, file, line) != 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, CUEMU_LOC) {
  cuemu::warp_leave(cuemu::warp_meet(mask, cuemu::Op::kSyncWarp, nullptr, 0, nullptr, file, line));
}
inline void __threadfence() { cuemu::fence(); }
inline void __threadfence_block() { cuemu::fence(); }

namespace cuemu {

// The lane a shuffle reads, in segments of `width`; its own lane where the source is outside.
inline int shuffle_source(Op op, int arg, int width) {
  const int lane = static_cast<int>(cur->lane), base = lane & ~(width - 1);
  switch (op) {
    case Op::kShfl:
      return base + (arg & (width - 1));
    case Op::kShflUp:
      return lane - arg >= base ? lane - arg : lane;
    case Op::kShflDown:
      return lane - base + arg < width ? lane + arg : lane;
    default:
      return (lane ^ arg) < base + width ? lane ^ arg : lane;
  }
}

template <class T>
inline T shfl(Op op, unsigned mask, T v, int arg, int width, const char* file, int line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffle of 4 or 8 bytes");
  uint32_t words[2] = {0, 0};
  std::memcpy(words, &v, sizeof(T));
  Meeting* meeting = warp_meet(mask, op, words, sizeof(T) / 4, nullptr, file, line);
  const int source = shuffle_source(op, arg, width);
  if (((mask >> source) & 1) == 0) {
    fail("%s:%d: shuffle reads lane %d, which is not in mask %08x", file, line, source, mask);
  }
  T out;
  std::memcpy(&out, meeting->in[source], sizeof(T));
  warp_leave(meeting);
  return out;
}

inline uint32_t ballot(unsigned mask, int p, Op op, const char* file, int line) {
  const uint32_t mine = p != 0;
  Meeting* meeting = warp_meet(mask, op, &mine, 1, nullptr, file, line);
  uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) {
    if ((mask >> i) & 1) {
      bits |= (meeting->in[i][0] & 1u) << i;
    }
  }
  warp_leave(meeting);
  return bits;
}

}  // namespace cuemu

template <class T>
inline T __shfl_sync(unsigned mask, T v, int source, int width = 32, CUEMU_LOC) {
  return cuemu::shfl(cuemu::Op::kShfl, mask, v, source, width, file, line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32, CUEMU_LOC) {
  return cuemu::shfl(cuemu::Op::kShflUp, mask, v, static_cast<int>(delta), width, file, line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32, CUEMU_LOC) {
  return cuemu::shfl(cuemu::Op::kShflDown, mask, v, static_cast<int>(delta), width, file, line);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32, CUEMU_LOC) {
  return cuemu::shfl(cuemu::Op::kShflXor, mask, v, bits, width, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int p, CUEMU_LOC) {
  return cuemu::ballot(mask, p, cuemu::Op::kBallot, file, line);
}
inline int __any_sync(unsigned mask, int p, CUEMU_LOC) {
  return cuemu::ballot(mask, p, cuemu::Op::kAny, file, line) != 0;
}
inline int __all_sync(unsigned mask, int p, CUEMU_LOC) {
  return cuemu::ballot(mask, p, cuemu::Op::kAll, file, line) == mask;
}

namespace cuemu {
template <class F>
inline uint32_t reduce(unsigned mask, uint32_t v, F combine, const char* file, int line) {
  Meeting* meeting = warp_meet(mask, Op::kReduce, &v, 1, nullptr, file, line);
  bool first = true;
  uint32_t total = 0;
  for (int i = 0; i < 32; ++i) {
    if ((mask >> i) & 1) {
      total = first ? meeting->in[i][0] : combine(total, meeting->in[i][0]);
      first = false;
    }
  }
  warp_leave(meeting);
  return total;
}
}  // namespace cuemu

inline unsigned __reduce_add_sync(unsigned mask, unsigned v, CUEMU_LOC) {
  return cuemu::reduce(
      mask, v, [](uint32_t a, uint32_t b) { return a + b; }, file, line);
}
inline int __reduce_add_sync(unsigned mask, int v, CUEMU_LOC) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(v), file, line));
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned v, CUEMU_LOC) {
  return cuemu::reduce(
      mask, v, [](uint32_t a, uint32_t b) { return a > b ? a : b; }, file, line);
}

// Atomics are relaxed, as in CUDA.
namespace cuemu {
template <class T, class F>
inline T atomic_rmw(T* p, F change) {
  if (config.yield_at_atomics) {
    yield_random();
  }
  T old;
  __atomic_load(p, &old, __ATOMIC_RELAXED);
  for (;;) {
    T next = change(old);
    if (__atomic_compare_exchange(p, &old, &next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      return old;
    }
  }
}
}  // namespace cuemu

template <class T>
inline T atomicAdd(T* p, std::common_type_t<T> v) {
  return cuemu::atomic_rmw(p, [=](T old) { return static_cast<T>(old + v); });
}
template <class T>
inline T atomicMax(T* p, std::common_type_t<T> v) {
  return cuemu::atomic_rmw(p, [=](T old) { return old < v ? v : old; });
}
template <class T>
inline T atomicOr(T* p, std::common_type_t<T> v) {
  return cuemu::atomic_rmw(p, [=](T old) { return static_cast<T>(old | v); });
}

inline int __dp4a(int a, int b, int c) {
  auto sum = static_cast<uint32_t>(c);
  for (int i = 0; i < 4; ++i) {
    sum += static_cast<uint32_t>(static_cast<int8_t>(a >> (8 * i)) *
                                 static_cast<int8_t>(b >> (8 * i)));
  }
  return static_cast<int>(sum);
}
// Only 3 bits of each selector nibble count, unlike PTX prmt, whose bit 3 replicates the sign.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
  unsigned out = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned from = (selector >> (4 * i)) & 7;
    out |= static_cast<unsigned>((bytes >> (8 * from)) & 0xff) << (8 * i);
  }
  return out;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x != 0 ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline int __float2int_rn(float x) {
  if (x != x) {
    return 0;
  }
  if (x >= 2147483648.0f) {
    return 2147483647;
  }
  return x < -2147483648.0f ? -2147483647 - 1 : static_cast<int>(std::nearbyint(x));
}
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }

namespace cuemu {

inline void mma(Op op, Combine combine, int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                const char* file, int line) {
  uint32_t in[10] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  std::memcpy(in + 6, d, sizeof d);
  Meeting* meeting = warp_meet(0xffffffffu, op, in, 10, combine, file, line);
  std::memcpy(d, meeting->out[cur->lane], sizeof d);
  warp_leave(meeting);
}
inline void mma_m16n8k32_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                            CUEMU_LOC) {
  mma(Op::kMmaS8, combine_mma_s8, d, a, b, file, line);
}
inline void mma_m16n8k64_s4(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                            CUEMU_LOC) {
  mma(Op::kMmaS4, combine_mma_s4, d, a, b, file, line);
}

// Lanes exchange row addresses, then each lane itself reads its 4 bytes of each matrix, so that a
// sanitizer names the lane. Rows must be 16-byte aligned.
template <int N>
inline void ldmatrix(uint32_t (&d)[N], const void* row, CUEMU_LOC) {
  const auto address = reinterpret_cast<uint64_t>(row);
  if (address % 16 != 0) {
    fail("%s:%d: ldmatrix row address %p is not 16-byte aligned", file, line, row);
  }
  uint32_t in[2] = {static_cast<uint32_t>(address), static_cast<uint32_t>(address >> 32)};
  Meeting* meeting = warp_meet(0xffffffffu, Op::kLdMatrix, in, 2, nullptr, file, line);
  for (int i = 0; i < N; ++i) {
    const uint32_t* half = meeting->in[8 * i + static_cast<int>(cur->lane) / 4];
    const auto* from =
        reinterpret_cast<const uint32_t*>(static_cast<uint64_t>(half[1]) << 32 | half[0]);
    d[i] = from[cur->lane % 4];
  }
  warp_leave(meeting);
}

struct __attribute__((aligned(16), may_alias)) Bytes16 {
  uint64_t v[2];
};
// Plain loads and stores, which the sanitizers instrument.
inline void do_copy(const Copy& c) {
  if (c.bytes == 16 && c.src_bytes == 16) {
    *static_cast<Bytes16*>(c.dst) = *static_cast<const Bytes16*>(c.src);
    return;
  }
  for (int i = 0; i < c.bytes; ++i) {
    static_cast<unsigned char*>(c.dst)[i] =
        i < c.src_bytes ? static_cast<const unsigned char*>(c.src)[i] : 0;
  }
}
inline void cp_async(void* dst, const void* src, int bytes, int src_bytes, CUEMU_LOC) {
  if ((reinterpret_cast<uint64_t>(dst) | reinterpret_cast<uint64_t>(src)) %
          static_cast<uint64_t>(bytes) !=
      0) {
    fail("%s:%d: cp.async of %d bytes is misaligned", file, line, bytes);
  }
  const Copy copy{dst, src, bytes, src_bytes};
  if (cp_issue(copy)) {
    do_copy(copy);
  }
}
inline void cp_async_wait_group(int n) {
  Copy copy;
  while (cp_pop(n, &copy)) {
    do_copy(copy);
  }
}

}  // namespace cuemu
