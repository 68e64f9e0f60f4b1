// CPU kernels of packed ternary weights: packing, unpacking, transposing, and absmean quantization
// straight into the packed form. Threads divide rows of tiles.
#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <torch/library.h>

#include <atomic>
#include <bit>
#include <cstring>

#include "ops/checks.h"
#include "ops/cpu/pack_weights.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/row_reader.h"
#include "ops/cpu/rows.h"
#include "ops/cpu/statistics.h"
#include "ops/cpu/ternary_kernels.h"
#include "ops/kernel_calls.h"

namespace setun::ops::cpu {
namespace {

// body(first row, rows <= 16, offset of the tiles) for every row of tiles.
template <class Body>
void for_each_tile_row(int64_t rows, int64_t columns, const Body& body) {
  at::parallel_for(0, tiles_of(rows), row_grain(kTile * columns), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      body(t * kTile, std::min(kTile, rows - t * kTile), t * tile_row_bytes(columns));
    }
  });
}

at::Tensor empty_packed(int64_t rows, int64_t columns) {
  return at::empty({packed_bytes(rows, columns)}, at::kByte);
}

at::Tensor pack_ternary(const at::Tensor& codes_in) {
  check_pack_ternary(codes_in);
  const at::Tensor codes = codes_in.contiguous();
  const int64_t rows = codes.size(0), columns = codes.size(1);
  at::Tensor packed = empty_packed(rows, columns);
  const auto* in = codes.const_data_ptr<int8_t>();
  auto* out = packed.data_ptr<uint8_t>();
  const TernaryKernels& kernels = ternary_kernels();
  std::atomic<bool> ternary{true};
  for_each_tile_row(rows, columns, [&](int64_t row, int64_t count, int64_t at) {
    int outside = 0;
    for (int64_t i = row * columns; i < (row + count) * columns; ++i) {
      outside |= static_cast<uint8_t>(in[i] + 1) > 2 ? 1 : 0;
    }
    if (outside != 0) {
      ternary = false;
    }
    kernels.pack_tiles(in + row * columns, columns, count, columns, out + at);
  });
  TORCH_CHECK(ternary, "pack_ternary: expected codes of -1, 0 and 1, got others");
  return packed;
}

at::Tensor unpack_ternary(const at::Tensor& packed_in, int64_t rows, int64_t columns,
                          at::ScalarType dtype) {
  check_packed("unpack_ternary", packed_in, rows, columns);
  check_code_type("unpack_ternary", dtype);
  const at::Tensor packed = packed_in.contiguous();
  at::Tensor result = at::empty({rows, columns}, dtype);
  const auto* in = packed.const_data_ptr<uint8_t>();
  void* out = result.data_ptr();
  const TernaryKernels& ternary = ternary_kernels();
  const RowKernels& row_kernel = row_kernels();
  for_each_tile_row(rows, columns, [&](int64_t row, int64_t count, int64_t at) {
    const int64_t begin = row * columns, n = count * columns;
    if (dtype == at::kChar) {
      ternary.unpack_tiles(in + at, count, columns, static_cast<int8_t*>(out) + begin, columns);
      return;
    }
    thread_local AlignedBuffer<int8_t> codes;  // of one row of tiles: stays in the cache
    codes.grow(n);
    ternary.unpack_tiles(in + at, count, columns, codes.data(), columns);
    if (dtype == at::kFloat) {
      row_kernel.codes_to_float(codes.data(), n, static_cast<float*>(out) + begin);
    } else {
      row_kernel.ternary_to_bf16(codes.data(), n, static_cast<uint16_t*>(out) + begin);
    }
  });
  return result;
}

at::Tensor transpose_ternary(const at::Tensor& packed_in, int64_t rows, int64_t columns) {
  check_packed("transpose_ternary", packed_in, rows, columns);
  const at::Tensor packed = packed_in.contiguous();
  at::Tensor result = empty_packed(columns, rows);
  const auto* in = packed.const_data_ptr<uint8_t>();
  auto* out = result.data_ptr<uint8_t>();
  const TernaryKernels& kernels = ternary_kernels();
  for_each_tile_row(columns, rows, [&](int64_t column, int64_t, int64_t at) {
    for (int64_t t = 0; t < tiles_of(rows); ++t) {
      kernels.transpose_tile(in + t * tile_row_bytes(columns) + column / kTile * kTileBytes,
                             out + at + t * kTileBytes);
    }
  });
  return result;
}

// The scale of one group in the canonical order.
float absmean_scale(const RowKernels& kernels, RowSource::Reader& reader, int64_t begin, int64_t n,
                    float eps) {
  const std::vector<float> sums = block_values(n, false, [&](int64_t start, int64_t count) {
    return kernels.abs_sum(reader.part(begin + start, count), count);
  });
  const float mean =
      sum_tree(sums.data(), static_cast<int64_t>(sums.size())) / static_cast<float>(n);
  return mean < eps ? eps : mean;  // NaN stays NaN
}

// The scale of the whole tensor: its blocks are divided over threads.
float absmean_scale_whole(const RowKernels& kernels, const RowSource& source, int64_t n,
                          float eps) {
  std::vector<float> sums(static_cast<std::size_t>((n + kSumBlock - 1) / kSumBlock));
  at::parallel_for(0, static_cast<int64_t>(sums.size()), kGrain / kSumBlock,
                   [&](int64_t begin, int64_t end) {
                     RowSource::Reader reader(source);
                     for (int64_t b = begin; b < end; ++b) {
                       const int64_t count = std::min(kSumBlock, n - b * kSumBlock);
                       sums[static_cast<std::size_t>(b)] =
                           kernels.abs_sum(reader.part(b * kSumBlock, count), count);
                     }
                   });
  const float mean =
      sum_tree(sums.data(), static_cast<int64_t>(sums.size())) / static_cast<float>(n);
  return mean < eps ? eps : mean;
}

// Codes and their histogram for scales [1] or [O, groups]; scale_of(row, group) says or computes
// one.
template <class ScaleOf>
CodeCounts encode_packed(const at::Tensor& w, int64_t groups, const RowSource& source,
                         const ScaleOf& scale_of, uint8_t* out) {
  const int64_t rows = w.size(0), columns = w.size(1), group = columns / groups;
  const RowKernels& row = row_kernels();
  const TernaryKernels& ternary = ternary_kernels();
  count_kernel_call(Kernel::kQuantizePack, ternary.path);
  std::atomic<int64_t> zero{0}, plus{0};
  at::parallel_for(0, tiles_of(rows), row_grain(kTile * columns), [&](int64_t begin, int64_t end) {
    RowSource::Reader reader(source);
    AlignedBuffer<int8_t> codes(kTile * columns);
    int64_t zeros = 0, ones = 0;
    for (int64_t t = begin; t < end; ++t) {
      const int64_t count = std::min(kTile, rows - t * kTile);
      for (int64_t r = 0; r < count; ++r) {
        for (int64_t g = 0; g < groups; ++g) {
          const float scale = scale_of(reader, t * kTile + r, g);
          const float* values = reader.part((t * kTile + r) * columns + g * group, group);
          row.encode(values, group, 1.0F / scale, -1, 1, codes.data() + r * columns + g * group);
        }
      }
      uint8_t* tiles = out + t * tile_row_bytes(columns);
      ternary.pack_tiles(codes.data(), columns, count, columns, tiles);
      for (int64_t i = 0; i < tile_row_bytes(columns); i += 8) {
        uint64_t word = 0;
        std::memcpy(&word, tiles + i, sizeof word);
        zeros += std::popcount(word & 0x5555555555555555ULL);  // code + 1 = 1
        ones += std::popcount(word & 0xAAAAAAAAAAAAAAAAULL);   // code + 1 = 2
      }
    }
    zero += zeros;
    plus += ones;
  });
  return {rows * columns - zero - plus, zero.load(), plus.load()};
}

at::Tensor as_tensor(const CodeCounts& counts) {
  return at::tensor({counts[0], counts[1], counts[2]});
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> quantize_pack_absmean(const at::Tensor& w,
                                                                     int64_t group, double eps_in) {
  check_ternary("quantize_pack_absmean", w, group, eps_in);
  const RowKernels& kernels = row_kernels();
  const RowSource source(w, std::max(w.size(1), kSumBlock), kernels);
  const auto eps = static_cast<float>(eps_in);
  at::Tensor scale = at::empty(weight_scale_shape(w, group), at::kFloat);
  auto* scales = scale.data_ptr<float>();
  at::Tensor packed = empty_packed(w.size(0), w.size(1));
  auto* out = packed.data_ptr<uint8_t>();
  if (group == 0) {
    scales[0] = absmean_scale_whole(kernels, source, w.numel(), eps);
    return {packed, scale, as_tensor(pack_scaled(w, scale, out))};
  }
  const int64_t groups = w.size(1) / group;
  const CodeCounts counts = encode_packed(
      w, groups, source,
      [&](RowSource::Reader& reader, int64_t row, int64_t g) {
        float& one = scales[row * groups + g];
        one = absmean_scale(kernels, reader, row * w.size(1) + g * group, group, eps);
        return one;
      },
      out);
  return {packed, scale, as_tensor(counts)};
}

std::tuple<at::Tensor, at::Tensor> quantize_pack_scaled(const at::Tensor& w,
                                                        const at::Tensor& scale) {
  check_quantize_pack_scaled(w, scale);
  at::Tensor packed = empty_packed(w.size(0), w.size(1));
  return {packed, as_tensor(pack_scaled(w, scale, packed.data_ptr<uint8_t>()))};
}

}  // namespace

CodeCounts pack_scaled(const at::Tensor& w, const at::Tensor& scale_in, uint8_t* packed) {
  const at::Tensor scale = scale_in.contiguous();
  const auto* scales = scale.const_data_ptr<float>();
  const bool whole = scale.numel() == 1;
  const int64_t groups = scale.size(1);
  return encode_packed(
      w, groups, RowSource(w, std::max(w.size(1), kSumBlock), row_kernels()),
      [&](RowSource::Reader&, int64_t row, int64_t g) {
        return whole ? scales[0] : scales[row * groups + g];
      },
      packed);
}

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("pack_ternary", pack_ternary);
  m.impl("unpack_ternary", unpack_ternary);
  m.impl("transpose_ternary", transpose_ternary);
  m.impl("quantize_pack_absmean", quantize_pack_absmean);
  m.impl("quantize_pack_scaled", quantize_pack_scaled);
}

}  // namespace setun::ops::cpu
