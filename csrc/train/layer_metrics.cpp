#include "train/layer_metrics.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/zeros.h>

#include <bit>

#include "base/error.h"

namespace setun {
namespace {

constexpr const char* kPrefix = "codes.";

at::Tensor on_cpu(const at::Tensor& codes) { return codes.cpu().contiguous(); }

}  // namespace

at::Tensor pack_codes(const at::Tensor& codes) {
  const at::Tensor source = on_cpu(codes);
  const int64_t count = source.numel();
  at::Tensor packed = at::zeros({(count + 3) / 4}, at::kByte);
  const int8_t* in = source.const_data_ptr<int8_t>();
  uint8_t* out = packed.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < count; ++i) {
    SETUN_ASSERT(in[i] >= -1 && in[i] <= 1, "code ", static_cast<int>(in[i]), " is not ternary");
    out[i / 4] = static_cast<uint8_t>(out[i / 4] | (in[i] + 1) << (2 * (i % 4)));
  }
  return packed;
}

int64_t count_flips(const at::Tensor& a, const at::Tensor& b) {
  SETUN_ASSERT(a.numel() == b.numel());
  const uint8_t* left = a.const_data_ptr<uint8_t>();
  const uint8_t* right = b.const_data_ptr<uint8_t>();
  int64_t flips = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const auto different = static_cast<unsigned>(left[i] ^ right[i]);
    flips += std::popcount((different | different >> 1) & 0x55U);
  }
  return flips;
}

std::array<int64_t, 3> count_codes(const at::Tensor& codes) {
  const at::Tensor source = on_cpu(codes);
  const int8_t* in = source.const_data_ptr<int8_t>();
  int64_t minus = 0, plus = 0;
  for (int64_t i = 0; i < source.numel(); ++i) {
    minus += in[i] < 0 ? 1 : 0;
    plus += in[i] > 0 ? 1 : 0;
  }
  return {minus, source.numel() - minus - plus, plus};
}

LayerMetrics::LayerMetrics(const std::vector<LayerInfo>& layers)
    : layers_(layers), last_codes_(layers.size()) {}

std::vector<LayerRecord> LayerMetrics::measure(QuantContext& context,
                                               const std::vector<NamedLinear>& linears,
                                               double clip_factor) {
  SETUN_ASSERT(linears.size() == layers_.size());
  const at::NoGradGuard no_grad;
  std::vector<LayerRecord> records;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    LayerRecord record;
    record.layer = layers_[i].name;
    const at::Tensor& latent = linears[i].linear->weight;
    const QuantizedWeight& quantized = context.quantized(static_cast<int64_t>(i), latent);
    if (quantized.codes.defined()) {
      const auto total = static_cast<double>(quantized.codes.numel());
      const std::array<int64_t, 3> counts = count_codes(quantized.codes);
      record.minus = static_cast<double>(counts[0]) / total;
      record.zero = static_cast<double>(counts[1]) / total;
      record.plus = static_cast<double>(counts[2]) / total;
      record.scale = quantized.scale.mean().item<double>();
      at::Tensor packed = pack_codes(quantized.codes);
      if (last_codes_[i].defined()) {
        record.flip_rate = static_cast<double>(count_flips(last_codes_[i], packed)) / total;
      }
      last_codes_[i] = std::move(packed);
    }
    if (const std::optional<InputHealth>& health = context.input_health_by_layer().at(i)) {
      record.clip_share = health->clip_share;
      record.input_zeros = health->zero_share;
    }
    if (latent.grad().defined()) {
      record.grad_norm = clip_factor * at::linalg_vector_norm(latent.grad()).item<double>();
    }
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<NamedTensor> LayerMetrics::state() const {
  std::vector<NamedTensor> saved;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (last_codes_[i].defined()) {
      saved.push_back({kPrefix + layers_[i].name, last_codes_[i]});
    }
  }
  return saved;
}

void LayerMetrics::restore(const std::vector<NamedTensor>& saved) {
  last_codes_.assign(layers_.size(), at::Tensor());
  for (const NamedTensor& item : saved) {
    bool found = false;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (item.name != kPrefix + layers_[i].name) {
        continue;
      }
      const int64_t expected = (layers_[i].out_features * layers_[i].in_features + 3) / 4;
      SETUN_CHECK(item.tensor.scalar_type() == at::kByte && item.tensor.numel() == expected,
                  "checkpoint metrics: ", item.name, " has ", item.tensor.numel(),
                  " elements, expected ", expected, " bytes of packed codes");
      last_codes_[i] = item.tensor.contiguous();
      found = true;
    }
    SETUN_CHECK(found, "checkpoint metrics: ", item.name, " belongs to no layer of this recipe");
  }
}

}  // namespace setun
