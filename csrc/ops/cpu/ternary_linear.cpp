// CPU kernel of the product of integer activations and packed ternary weights. Up to kFewRows rows
// multiply the packed tiles directly (decoding reads two bits a weight and nothing else); more rows
// unpack panels of 64 outputs into a buffer that stays in the cache. Tasks of outputs,
// and of blocks of rows, are divided over threads; sums are integers, so the cut changes no bit.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "ops/checks.h"
#include "ops/cpu/aligned_buffer.h"
#include "ops/cpu/element_rows.h"
#include "ops/cpu/staged_activations.h"
#include "ops/cpu/ternary_kernels.h"
#include "ops/kernel_calls.h"

namespace setun::ops::cpu {
namespace {

constexpr int64_t kFewRows = 16;    // at most: packed weights are used as they are
constexpr int64_t kRowBlock = 256;  // rows of a task, which unpacks its panel once
constexpr int64_t kStrip =
    6;  // rows between kernel and epilogue, whose stores the next strip then hides
constexpr int64_t kPanelBudget = 256 << 10;  // bytes of a task's unpacked panels

// A contiguous matrix in fp32 or bf16, or nothing.
struct Matrix {
  char* data = nullptr;
  Element type = Element::kFp32;
  int64_t row_bytes = 0, element_bytes = 0;

  explicit Matrix(const at::Tensor& t) {
    if (t.defined()) {
      data = static_cast<char*>(t.data_ptr());
      type = element_of(t);
      element_bytes = t.element_size();
      row_bytes = t.size(-1) * element_bytes;
    }
  }
  OutRow at(int64_t row, int64_t column) const {
    return {data == nullptr ? nullptr : data + row * row_bytes + column * element_bytes, type};
  }
};

class Product {
 public:
  Product(const StagedActivations& x, const float* s, const uint8_t* packed, int64_t outputs,
          int64_t columns, const at::Tensor& w_scale, const at::Tensor& residual,
          const at::Tensor& y)
      : x_(x),
        s_(s),
        packed_(packed),
        outputs_(outputs),
        row_bytes_(tile_row_bytes(columns)),
        scale_(w_scale.const_data_ptr<float>()),
        scale_step_(w_scale.numel() == 1 ? 0 : w_scale.size(1)),
        residual_(residual),
        y_(y) {
    for (int64_t g = 0; g < x_.groups(); ++g) {
      panel_bytes_ += x_.tile_count(g) * kTile * kPanelRows;
    }
  }

  void run() const {
    if (x_.rows() <= kFewRows) {
      count_kernel_call(Kernel::kTernaryFewRows, kernels_.path);
      few_rows();
    } else {
      count_kernel_call(Kernel::kTernaryPanels, kernels_.path);
      many_rows();
    }
  }

 private:
  void few_rows() const {
    const int64_t work = std::max<int64_t>(1, x_.rows() * row_bytes_);
    at::parallel_for(
        0, tiles_of(outputs_), std::max<int64_t>(1, 65536 / work), [&](int64_t begin, int64_t end) {
          int32_t sums[kFewRows * kTile];
          float totals[kFewRows * kTile];
          for (int64_t t = begin; t < end; ++t) {
            for (int64_t g = 0; g < x_.groups(); ++g) {
              const uint8_t* tiles = packed_ + t * row_bytes_ + x_.first_tile(g) * kTileBytes;
              kernels_.tile_dot(x_.part(g, 0, x_.rows()), tiles, x_.tile_count(g), sums);
              finish(g, 0, x_.rows(), t * kTile, kTile, sums, totals);
            }
          }
        });
  }

  // A task unpacks as many panels as stay in the L2 cache and takes them strip by strip, so that a
  // strip of the result is written in long runs.
  void many_rows() const {
    const int64_t panels = (outputs_ + kPanelRows - 1) / kPanelRows;
    const int64_t blocks = (x_.rows() + kRowBlock - 1) / kRowBlock;
    const int64_t fair = panels * blocks / (2 * at::get_num_threads());
    const int64_t most =
        std::clamp<int64_t>(kPanelBudget / panel_bytes_, 1, std::max<int64_t>(1, fair));
    const int64_t parts = (panels + most - 1) / most;
    at::parallel_for(0, parts * blocks, 1, [&](int64_t begin, int64_t end) {
      AlignedBuffer<uint8_t> buffer;
      for (int64_t task = begin; task < end; ++task) {
        const int64_t row = task % blocks * kRowBlock, part = task / blocks;
        const int64_t first = part * panels / parts, last = (part + 1) * panels / parts;
        panels_task(first, last - first, row, std::min(kRowBlock, x_.rows() - row), buffer);
      }
    });
  }

  void panels_task(int64_t first, int64_t panels, int64_t row, int64_t count,
                   AlignedBuffer<uint8_t>& buffer) const {
    buffer.grow(panels * panel_bytes_);
    for (int64_t p = 0; p < panels; ++p) {
      unpack(first + p, buffer.data() + p * panel_bytes_);
    }
    for (int64_t start = 0; start < count; start += kStrip) {
      for (int64_t p = 0; p < panels; ++p) {
        strip(first + p, row + start, std::min(kStrip, count - start),
              buffer.data() + p * panel_bytes_);
      }
    }
  }

  // One panel of all groups, one after the other.
  void unpack(int64_t index, uint8_t* panel) const {
    const int64_t first = index * kPanelTiles;
    const int64_t present = std::min(kPanelTiles, tiles_of(outputs_) - first);
    for (int64_t g = 0; g < x_.groups(); ++g) {
      kernels_.unpack_panel(packed_ + first * row_bytes_ + x_.first_tile(g) * kTileBytes,
                            row_bytes_, present, x_.tile_count(g), panel);
      panel += x_.tile_count(g) * kTile * kPanelRows;
    }
  }

  void strip(int64_t index, int64_t row, int64_t count, const uint8_t* panel) const {
    int32_t sums[kStrip * kPanelRows];
    float totals[kStrip * kPanelRows];
    for (int64_t g = 0; g < x_.groups(); ++g) {
      kernels_.panel_dot(x_.part(g, row, count), panel, x_.tile_count(g), sums);
      finish(g, row, count, index * kPanelRows, kPanelRows, sums, totals);
      panel += x_.tile_count(g) * kTile * kPanelRows;
    }
  }

  // The epilogue of group g for `count` rows and the `width` outputs from `column`; totals [count,
  // width] carry several groups.
  void finish(int64_t g, int64_t row, int64_t count, int64_t column, int64_t width,
              const int32_t* sums, float* totals) const {
    const OutRow residual = residual_.at(row, column);
    const OutputBlock block = {.rows = count,
                               .outputs = std::min(width, outputs_ - column),
                               .width = width,
                               .s = s_ + row,
                               .residual = {residual.data, residual.type},
                               .out = y_.at(row, column),
                               .stride = outputs_};
    const float* scale = scale_ + column * scale_step_ + (scale_step_ == 0 ? 0 : g);
    if (x_.groups() == 1) {
      kernels_.finish_rows(block, sums, x_.sums(0, row), scale, scale_step_);
      return;
    }
    if (g == 0) {
      std::fill(totals, totals + count * width, 0.0F);
    }
    kernels_.add_group(block, sums, x_.sums(g, row), x_.groups(), scale, scale_step_, totals);
    if (g + 1 == x_.groups()) {
      kernels_.finish_groups(block, totals);
    }
  }

  const StagedActivations& x_;
  const float* s_;
  const uint8_t* packed_;
  int64_t outputs_, row_bytes_, panel_bytes_ = 0;
  const float* scale_;
  int64_t scale_step_;
  Matrix residual_, y_;
  const TernaryKernels& kernels_ = ternary_kernels();
};

at::Tensor ternary_linear(const at::Tensor& codes, const at::Tensor& scale_in,
                          const at::Tensor& row_sums, const at::Tensor& packed_in, int64_t rows,
                          int64_t columns, const at::Tensor& w_scale_in, at::ScalarType dtype,
                          const std::optional<at::Tensor>& residual_in) {
  check_ternary_linear(codes, scale_in, row_sums, packed_in, rows, columns, w_scale_in, dtype,
                       residual_in, packed_bytes(rows, columns));
  std::vector<int64_t> shape = codes.sizes().vec();
  shape.back() = rows;
  at::Tensor y = at::empty(shape, codes.options().dtype(dtype));
  if (y.numel() == 0) {
    return y;
  }
  const at::Tensor scale = scale_in.contiguous(), packed = packed_in.contiguous(),
                   w_scale = w_scale_in.contiguous(),
                   residual = residual_in ? residual_in->contiguous() : at::Tensor();
  const StagedActivations x(codes.contiguous(), row_sums.contiguous(), columns, w_scale.size(1));
  Product(x, scale.const_data_ptr<float>(), packed.const_data_ptr<uint8_t>(), rows, columns,
          w_scale, residual, y)
      .run();
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) { m.impl("ternary_linear", ternary_linear); }

}  // namespace setun::ops::cpu
