// CPU kernels of the sparsity masks and of the uniform draws.
#include <torch/library.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/counter_rng.h"
#include "ops/checks.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/rows.h"

namespace setun::ops::cpu {
namespace {

// Keeps `keep` of every `length` consecutive elements.
at::Tensor top_of_every(const at::Tensor& x_in, int64_t length, int64_t keep) {
  const at::Tensor x = as_fp32(x_in);
  at::Tensor mask = at::empty(x.sizes(), x.options().dtype(at::kBool));
  const auto* in = x.const_data_ptr<float>();
  auto* out = mask.data_ptr<bool>();
  const RowKernels& kernels = row_kernels();
  at::parallel_for(0, x.numel() / length, row_grain(length), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      kernels.top_mask(in + i * length, length, keep, out + i * length);
    }
  });
  return mask;
}

at::Tensor topk_mask(const at::Tensor& x, int64_t k) {
  check_topk_mask(x, k);
  return top_of_every(x, x.size(-1), k);
}

at::Tensor nm_mask(const at::Tensor& x, int64_t n, int64_t m) {
  check_nm_mask(x, n, m);
  return top_of_every(x, m, n);
}

// The lowest bits of eight bytes, each 0 or 1, in the order of memory.
uint32_t eight_bits(const uint8_t* bytes) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  if constexpr (std::endian::native == std::endian::big) {
    word = __builtin_bswap64(word);
  }
  return static_cast<uint32_t>((word * 0x0102040810204080ULL) >> 56);
}

at::Tensor pack_mask(const at::Tensor& keep_in) {
  check_pack_mask(keep_in);
  const at::Tensor keep = keep_in.contiguous();
  at::Tensor bits = at::empty(mask_words(keep.sizes()), keep.options().dtype(at::kInt));
  const int64_t columns = keep.size(-1), words = bits.size(-1);
  const auto* in = reinterpret_cast<const uint8_t*>(keep.const_data_ptr<bool>());
  auto* out = reinterpret_cast<uint32_t*>(bits.data_ptr<int32_t>());
  at::parallel_for(0, bits.numel(), kGrain / 32, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      const int64_t first = w % words * 32, count = std::min<int64_t>(32, columns - first);
      const uint8_t* bytes = in + w / words * columns + first;
      uint32_t word = 0;
      int64_t i = 0;
      for (; i + 8 <= count; i += 8) {
        word |= eight_bits(bytes + i) << i;
      }
      for (; i < count; ++i) {
        word |= static_cast<uint32_t>(bytes[i]) << i;
      }
      out[w] = word;
    }
  });
  return bits;
}

// T: unsigned, of the elements' size. Elements are only moved.
template <class T>
void keep_marked(const at::Tensor& x, const at::Tensor& bits, const at::Tensor& y) {
  const int64_t columns = x.size(-1), words = bits.size(-1);
  const auto* from = static_cast<const T*>(x.const_data_ptr());
  const auto* mask = reinterpret_cast<const uint32_t*>(bits.const_data_ptr<int32_t>());
  auto* to = static_cast<T*>(y.data_ptr());
  at::parallel_for(0, bits.numel(), kGrain / 32, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      const int64_t first = w % words * 32, at = w / words * columns + first;
      const int64_t count = std::min<int64_t>(32, columns - first);
      for (int64_t i = 0; i < count; ++i) {
        to[at + i] = static_cast<T>(from[at + i] & (T{0} - static_cast<T>((mask[w] >> i) & 1U)));
      }
    }
  });
}

at::Tensor apply_mask(const at::Tensor& x_in, const at::Tensor& bits_in) {
  check_apply_mask(x_in, bits_in);
  const at::Tensor x = x_in.contiguous(), bits = bits_in.contiguous();
  at::Tensor y = at::empty(x.sizes(), x.options());
  if (x.scalar_type() == at::kFloat) {
    keep_marked<uint32_t>(x, bits, y);
  } else {
    keep_marked<uint16_t>(x, bits, y);
  }
  return y;
}

at::Tensor counter_uniform(int64_t count, int64_t key) {
  TORCH_CHECK(count >= 0, "counter_uniform: count must not be negative, got ", count);
  at::Tensor draws = at::empty({count}, at::kFloat);
  auto* out = draws.data_ptr<float>();
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      out[i] = random_uniform_float(static_cast<uint64_t>(key), static_cast<uint64_t>(i));
    }
  });
  return draws;
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("topk_mask", topk_mask);
  m.impl("nm_mask", nm_mask);
  m.impl("pack_mask", pack_mask);
  m.impl("apply_mask", apply_mask);
}
// No argument is a tensor, so there is no device to dispatch on: the draws are made on the CPU.
TORCH_LIBRARY_IMPL(setun, CompositeExplicitAutograd, m) {
  m.impl("counter_uniform", counter_uniform);
}

}  // namespace setun::ops::cpu
