// gaussian_grid, gaussian_ternary, gaussian_fractions.
#include "golden/golden.h"
#include "quant/gaussian.h"

namespace setun::golden {
namespace {

Json grid(const Arguments& arguments) {
  const GaussianGrid g = gaussian_grid(arguments.integer("levels"));
  return {{"c", g.c},
          {"mse", g.mse},
          {"half_step", g.half_step},
          {"trust", g.trust},
          {"outside", g.outside}};
}

Json ternary(const Arguments& arguments) {
  static const std::map<std::string, TernaryRule> rules = {
      {"absmean", TernaryRule::kAbsmean},        {"absmedian", TernaryRule::kAbsmedian},
      {"parq_1p1", TernaryRule::kParq},          {"twn", TernaryRule::kTwn},
      {"mse_optimal", TernaryRule::kMseOptimal}, {"seq", TernaryRule::kSeq}};
  const GaussianTernary t =
      gaussian_ternary(rules.at(arguments.text_or("rule", "")), arguments.number_or("alpha", 0));
  return {{"threshold", t.threshold},
          {"level", t.level},
          {"zeros", t.zeros},
          {"mse", t.mse},
          {"entropy", t.entropy}};
}

Json fractions(const Arguments&) {
  const GaussianFractions f = gaussian_fractions();
  return {{"a4_zero", f.a4_zero},
          {"a4_code_7", f.a4_code_7},
          {"a4_code_minus_8", f.a4_code_minus_8},
          {"eb_masked", f.eb_masked}};
}

}  // namespace

void add_gaussian_adapters(Adapters& adapters) {
  adapters["gaussian_grid"] = grid;
  adapters["gaussian_ternary"] = ternary;
  adapters["gaussian_fractions"] = fractions;
}

}  // namespace setun::golden
