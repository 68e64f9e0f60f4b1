// The activations of a ternary product as its kernels want them: s8 rows cut into the weight's
// scale groups, every group padded with zeros to whole tiles of packed columns. Codes that already
// lie that way are used in place; 4-bit codes, odd widths and odd groups are copied once.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/cpu/row_kernels.h"
#include "ops/cpu/ternary_kernels.h"

namespace setun::ops::cpu {

class StagedActivations {
 public:
  // codes int8 [..., K] or uint8 [..., (K + 1) / 2]; row_sums int32 [...]; both contiguous;
  // `groups` divides K.
  StagedActivations(const at::Tensor& codes, const at::Tensor& row_sums, int64_t columns,
                    int64_t groups);

  int64_t groups() const { return groups_; }
  int64_t rows() const { return rows_; }
  // The packed tiles of columns that group g touches.
  int64_t first_tile(int64_t g) const { return g * width_ / kTile; }
  int64_t tile_count(int64_t g) const { return tiles_of((g + 1) * width_) - first_tile(g); }
  ActivationRows part(int64_t g, int64_t row, int64_t count) const {
    return {data_ + row * stride_ + g * group_stride_, stride_, count};
  }
  // Sums of the codes of the rows from `row` in a group, groups() apart.
  const int32_t* sums(int64_t g, int64_t row) const { return sums_ + row * groups_ + g; }

 private:
  bool in_place(const at::Tensor& codes, int64_t columns) const;
  void copy(const at::Tensor& codes, int64_t columns);
  void add_groups();

  int64_t groups_, rows_;
  int64_t width_;  // columns of a group
  int64_t stride_ = 0, group_stride_ = 0;
  const int8_t* data_ = nullptr;
  const int32_t* sums_ = nullptr;
  at::Tensor codes_, group_sums_;  // keep the memory
};

}  // namespace setun::ops::cpu
