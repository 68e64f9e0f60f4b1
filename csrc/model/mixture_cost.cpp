#include "model/mixture_cost.h"

namespace setun {

MixtureCost mixture_cost(const ModelOptions& options) {
  const MoeOptions& moe = options.moe;
  const auto hidden = static_cast<double>(options.hidden);
  const auto dense = kExpertMatrices * hidden * static_cast<double>(options.ffn);
  const double projections = moe.heads > 1 ? 2 * hidden * hidden : 0;
  const double sub_token = hidden / static_cast<double>(moe.heads);
  const double expert =
      kExpertMatrices * sub_token * static_cast<double>(options.resolved_expert_ffn());
  const auto choices = static_cast<double>(moe.heads * moe.active);
  return {.parameters = (projections + static_cast<double>(moe.experts) * expert) / dense,
          .multiplications = (projections + choices * expert) / dense};
}

MultiHeadSizes multi_head_parity(int64_t hidden, double ffn, double experts, int64_t heads,
                                 int64_t active, int64_t matrices) {
  const auto d = static_cast<double>(hidden), h = static_cast<double>(heads);
  const auto k = static_cast<double>(active), m = static_cast<double>(matrices);
  const double expert_ffn = ffn - 2 * d / (m * k);
  return {.expert_ffn = expert_ffn,
          .experts = (m * d * ffn * experts - 2 * d * d) / (m * (d / h) * expert_ffn)};
}

}  // namespace setun
