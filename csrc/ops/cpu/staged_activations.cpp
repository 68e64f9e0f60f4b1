#include "ops/cpu/staged_activations.h"

#include <ATen/ops/empty.h>

#include <cstring>
#include <vector>

#include "ops/cpu/rows.h"

namespace setun::ops::cpu {

StagedActivations::StagedActivations(const at::Tensor& codes, const at::Tensor& row_sums,
                                     int64_t columns, int64_t groups)
    : groups_(groups), rows_(codes.numel() / codes.size(-1)), width_(columns / groups) {
  if (in_place(codes, columns)) {
    codes_ = codes;
    stride_ = columns;
    group_stride_ = width_;
  } else {
    copy(codes, columns);
  }
  data_ = codes_.const_data_ptr<int8_t>();
  group_sums_ = row_sums;
  if (groups_ > 1) {
    add_groups();
  }
  sums_ = group_sums_.const_data_ptr<int32_t>();
}

bool StagedActivations::in_place(const at::Tensor& codes, int64_t columns) const {
  return codes.scalar_type() == at::kChar && columns % kTile == 0 && width_ % kTile == 0;
}

void StagedActivations::copy(const at::Tensor& codes, int64_t columns) {
  for (int64_t g = 0; g < groups_; ++g) {
    group_stride_ = std::max(group_stride_, tile_count(g) * kTile);
  }
  stride_ = groups_ * group_stride_;
  codes_ = at::empty({rows_, stride_}, at::kChar);
  const bool pairs = codes.scalar_type() == at::kByte;
  const int64_t bytes = codes.size(-1);
  const auto* in = static_cast<const uint8_t*>(codes.const_data_ptr());
  auto* out = codes_.data_ptr<int8_t>();
  const RowKernels& kernels = row_kernels();
  at::parallel_for(0, rows_, row_grain(columns), [&](int64_t begin, int64_t end) {
    std::vector<int8_t> buffer(static_cast<std::size_t>(pairs ? columns : 0));
    for (int64_t row = begin; row < end; ++row) {
      const auto* values = reinterpret_cast<const int8_t*>(in + row * bytes);
      if (pairs) {
        kernels.unpack_int4(in + row * bytes, columns, buffer.data());
        values = buffer.data();
      }
      int8_t* staged = out + row * stride_;
      std::memset(staged, 0, static_cast<std::size_t>(stride_));
      for (int64_t g = 0; g < groups_; ++g) {
        std::memcpy(staged + g * group_stride_ + g * width_ - first_tile(g) * kTile,
                    values + g * width_, static_cast<std::size_t>(width_));
      }
    }
  });
}

void StagedActivations::add_groups() {
  group_sums_ = at::empty({rows_, groups_}, at::kInt);
  auto* sums = group_sums_.data_ptr<int32_t>();
  at::parallel_for(0, rows_, row_grain(stride_), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t g = 0; g < groups_; ++g) {
        const int8_t* codes = part(g, row, 1).data;
        int32_t total = 0;
        for (int64_t i = 0; i < tile_count(g) * kTile; ++i) {
          total += codes[i];
        }
        sums[row * groups_ + g] = total;
      }
    }
  });
}

}  // namespace setun::ops::cpu
