#include "run/mixture_text.h"

#include <iomanip>
#include <sstream>

#include "model/mixture_cost.h"

namespace setun::run {

std::string mixture_text(const ModelOptions& model) {
  const MoeOptions& moe = model.moe;
  if (moe.experts == 0) {
    return "";
  }
  const MixtureCost cost = mixture_cost(model);
  std::ostringstream out;
  out << std::fixed << std::setprecision(2) << "mixture        " << model.blocks_with_experts()
      << " of " << model.layers << " blocks: " << moe.experts << " experts of width "
      << model.resolved_expert_ffn() << ", " << moe.active << " active";
  if (moe.heads > 1) {
    out << " for each of " << moe.heads << " sub-tokens";
  }
  out << "; of the dense FFN (" << model.ffn << "): parameters x " << cost.parameters
      << ", multiplications per token x " << cost.multiplications << "\n";
  if (moe.heads > 1) {
    // The dense part is a plain mixture of `active` experts that are all active.
    const auto active = static_cast<double>(moe.active);
    const MultiHeadSizes equal = multi_head_parity(
        model.hidden, static_cast<double>(model.ffn) / active, active, moe.heads, moe.active);
    out << "parity         ";
    if (equal.expert_ffn > 0) {
      out << "multiplications of the dense FFN at expert_ffn " << equal.expert_ffn
          << ", and its parameters at " << equal.experts << " experts of that width\n";
    } else {
      out << "none: the head and merge projections alone cost more than the dense FFN\n";
    }
  }
  return out.str();
}

}  // namespace setun::run
