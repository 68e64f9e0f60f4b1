// What every ternary_kernels_<path>.cpp shares: the parts that need no dot product, the walk over a
// panel's rows, and the table they end in. Included by those files only.
#pragma once

#include <type_traits>

#include "ops/cpu/ternary_epilogue_impl.h"
#include "ops/cpu/ternary_tiles_impl.h"

namespace setun::ops::cpu {
namespace {

// body(R as a constant, first row of activations, its sums) for R rows at a time, then for as many
// as are left.
template <int R, class Body>
[[maybe_unused]] void by_rows(const ActivationRows& a, int32_t* sums, const Body& body) {
  int64_t row = 0;
  for (; row + R <= a.count; row += R) {
    body(std::integral_constant<int, R>{}, a.data + row * a.stride, sums + row * kPanelRows);
  }
  if constexpr (R > 1) {
    if (row < a.count) {
      by_rows<R - 1>({a.data + row * a.stride, a.stride, a.count - row}, sums + row * kPanelRows,
                     body);
    }
  }
}

// The table of an instruction set from what is its own.
TernaryKernels with_products(CpuPath path, decltype(TernaryKernels::tile_dot) tile_dot,
                             decltype(TernaryKernels::unpack_panel) unpack_panel,
                             decltype(TernaryKernels::panel_dot) panel_dot) {
  return {
      .path = path,
      .pack_tiles = pack_tiles,
      .unpack_tiles = unpack_tiles,
      .transpose_tile = transpose_tile,
      .tile_dot = tile_dot,
      .unpack_panel = unpack_panel,
      .panel_dot = panel_dot,
      .finish_rows = finish_rows,
      .add_group = add_group,
      .finish_groups = finish_groups,
  };
}

}  // namespace
}  // namespace setun::ops::cpu
