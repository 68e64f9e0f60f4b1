// Health of the ternary layers: shares of the codes, flip rate since the last record, mean scale,
// activation clip share, gradient norm. The codes of the last record are kept packed (2 bits each)
// and go into the checkpoint, so that a resumed run logs the same flip rates. Codes outside -1..1
// are not supported.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "nn/bit_linear.h"
#include "train/metrics.h"

namespace setun {

// codes int8 -> uint8 [ceil(numel / 4)]: code + 1 in two bits, first code lowest; unused bits are
// 0.
at::Tensor pack_codes(const at::Tensor& codes);
// How many of the codes differ between two packed tensors of equal length.
int64_t count_flips(const at::Tensor& a, const at::Tensor& b);
// How often -1, 0, +1 stand among the codes.
std::array<int64_t, 3> count_codes(const at::Tensor& codes);

class LayerMetrics {
 public:
  explicit LayerMetrics(const std::vector<LayerInfo>& layers);

  // One record per layer, in plan order, of the step whose gradients are in the latents and whose
  // codes are in the context; the optimizer will multiply the gradients by clip_factor. Remembers
  // the codes for the next record.
  std::vector<LayerRecord> measure(QuantContext& context, const std::vector<NamedLinear>& linears,
                                   double clip_factor);

  // "codes.<layer>" for every layer that has been recorded.
  std::vector<NamedTensor> state() const;
  // Throws Error naming a tensor that belongs to no layer or has another size.
  void restore(const std::vector<NamedTensor>& saved);

 private:
  std::vector<LayerInfo> layers_;
  std::vector<at::Tensor> last_codes_;  // packed; undefined: no record yet
};

}  // namespace setun
