// References of the integer path: packed layout, codes of gradients, the product.
#include "ops/cpu/reference_common.h"
#include "ops/cpu/ternary_layout.h"

namespace setun::ops::reference {

Row quantize_gradient(const std::vector<float>& x, const std::vector<float>& u) {
  const bool finite = all_finite(x);
  Row row;
  row.scale = finite ? 127.0F / std::max(largest_magnitude(x), 1e-30F) : kNaN;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float v = x[i] * row.scale;
    const float code = u.empty() ? std::nearbyint(v) : std::floor(v + u[i]);
    row.codes.push_back(finite ? static_cast<int8_t>(std::clamp(code, -128.0F, 127.0F))
                               : int8_t{0});
    row.value.push_back(static_cast<float>(row.codes.back()) / row.scale);
  }
  return row;
}

std::vector<uint8_t> pack_ternary(const std::vector<int8_t>& codes, int64_t rows, int64_t columns) {
  std::vector<uint8_t> packed(static_cast<std::size_t>(cpu::packed_bytes(rows, columns)));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const cpu::PackedPlace place = cpu::packed_place(r, c, columns);
      const int plus_one = codes[static_cast<std::size_t>(r * columns + c)] + 1;
      packed[static_cast<std::size_t>(place.byte)] |= static_cast<uint8_t>(plus_one << place.shift);
    }
  }
  return packed;
}

std::vector<float> ternary_linear(const TernaryProduct& p) {
  const int64_t width = p.columns / p.groups;
  std::vector<float> y;
  for (int64_t m = 0; m < p.rows; ++m) {
    const float s = p.s[static_cast<std::size_t>(m)];
    for (int64_t o = 0; o < p.outputs; ++o) {
      float total = 0;
      for (int64_t g = 0; g < p.groups; ++g) {
        int64_t acc = 0;
        for (int64_t k = g * width; k < (g + 1) * width; ++k) {
          acc += p.x[static_cast<std::size_t>(m * p.columns + k)] *
                 p.w[static_cast<std::size_t>(o * p.columns + k)];
        }
        const float a =
            p.scale.size() == 1 ? p.scale[0] : p.scale[static_cast<std::size_t>(o * p.groups + g)];
        total =
            p.groups == 1 ? static_cast<float>(acc) * (a / s) : total + static_cast<float>(acc) * a;
      }
      total = p.groups == 1 ? total : total * (1.0F / s);
      y.push_back(p.residual.empty() ? total : total + p.residual[y.size()]);
    }
  }
  return y;
}

}  // namespace setun::ops::reference
