// References of the quantizers of activations and of the key-value cache.
#include "ops/cpu/reference_common.h"

namespace setun::ops::reference {

Row quantize_act_absmean(const std::vector<float>& x, int64_t bits, double multiplier, double eps) {
  const auto high = static_cast<float>((1 << (bits - 1)) - 1);
  const bool finite = all_finite(x);
  const float mean = canonical_sum(magnitudes(x)) / static_cast<float>(x.size());
  const float b = static_cast<float>(multiplier) * mean;
  const float s = std::sqrt(high) / (b + static_cast<float>(eps));
  Row row;
  row.scale = finite ? b / std::sqrt(high) : kNaN;
  for (const float v : x) {
    row.codes.push_back(finite ? code_of(v * s, -high - 1, high) : int8_t{0});
    row.value.push_back(static_cast<float>(row.codes.back()) * row.scale);
  }
  return row;
}

float round_e2m1(float z) {
  constexpr float kGrid[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  if (std::isnan(z)) {
    return z;
  }
  int nearest = 0;
  for (int i = 1; i < 8; ++i) {
    const float distance = std::fabs(std::min(std::fabs(z), 6.0F) - kGrid[i]);
    const float best = std::fabs(std::min(std::fabs(z), 6.0F) - kGrid[nearest]);
    if (distance < best || (distance == best && i % 2 == 0)) {
      nearest = i;
    }
  }
  return z < 0 && nearest > 0 ? -kGrid[nearest] : kGrid[nearest];
}

Row quantize_fp4(const std::vector<float>& x) {
  const bool finite = all_finite(x);
  const float largest = largest_magnitude(x);
  const float shrink = largest > 1e37F ? 0.0625F : 1.0F;  // 6 x would overflow
  Row row;
  row.scale = finite ? largest / 12.0F : kNaN;
  for (const float v : x) {
    const float level =
        finite && largest > 0 ? round_e2m1(6.0F * (v * shrink) / (largest * shrink)) : 0.0F;
    row.codes.push_back(static_cast<int8_t>(2 * level));
    row.value.push_back(static_cast<float>(row.codes.back()) * row.scale);
  }
  return row;
}

Row quantize_kv(const std::vector<float>& h, int64_t bits, double eps) {
  const auto high = static_cast<float>((1 << (bits - 1)) - 1);
  const bool finite = all_finite(h);
  Row row;
  row.scale = finite ? std::max(largest_magnitude(h), static_cast<float>(eps)) / high : kNaN;
  for (const float v : h) {
    row.codes.push_back(finite ? code_of(v / row.scale, -high - 1, high) : int8_t{0});
    row.value.push_back(static_cast<float>(row.codes.back()) * row.scale);
  }
  return row;
}

OffsetRow quantize_kv_asymmetric(const std::vector<float>& h, int64_t bits, double eps) {
  const auto high = static_cast<float>((1 << bits) - 1);
  const auto [least, most] = std::minmax_element(h.begin(), h.end());
  const float range = *most - *least;
  const bool finite = all_finite(h) && std::isfinite(range);
  OffsetRow row;
  row.minimum = all_finite(h) ? *least + 0.0F : kNaN;  // + 0: a minimum of -0 is 0
  row.scale = finite ? std::max(range, static_cast<float>(eps)) / high : kNaN;
  for (const float v : h) {
    const float code = finite ? rounded((v - row.minimum) / row.scale, 0, high) : 0;
    row.codes.push_back(static_cast<uint8_t>(code));
    row.value.push_back(row.minimum + code * row.scale);
  }
  return row;
}

}  // namespace setun::ops::reference
