// mhmoe_parity. The vectors count two matrices an expert, as the paper's formulas do.
#include "golden/golden.h"
#include "model/mixture_cost.h"

namespace setun::golden {
namespace {

Json mhmoe_parity(const Arguments& arguments) {
  const MultiHeadSizes sizes = multi_head_parity(
      arguments.integer("d"), arguments.number("d_moe"), arguments.number("e_moe"),
      arguments.integer("heads"), arguments.integer("k"), /*matrices=*/2);
  return {{"d_mh", sizes.expert_ffn}, {"experts_mh", sizes.experts}};
}

}  // namespace

void add_mixture_adapters(Adapters& adapters) { adapters["mhmoe_parity"] = mhmoe_parity; }

}  // namespace setun::golden
