// Which layers a `match` reaches, in what order patches count, and when phases and ramps hold.
#include "quant/quant_plan.h"

#include <algorithm>

#include "model/layer_table.h"
#include "support/catch.h"

namespace setun {
namespace {

constexpr LinearSpec kTernary{.weight = {.scheme = WeightScheme::kAbsmean},
                              .activation = {.scheme = ActivationScheme::kAbsmax}};

std::vector<LayerInfo> layers(bool tied = false) {
  ModelOptions model;
  model.vocab_size = 300;
  model.hidden = 64;
  model.ffn = 96;
  model.layers = 4;
  model.tied_embeddings = tied;
  return layer_table(model);
}

SpecPatch row_scales() {
  SpecPatch patch;
  patch.weight.granularity = Granularity::kRow;
  return patch;
}

QuantPlan plan_of(const QuantOptions& options, int64_t steps = 100) {
  Errors errors;
  QuantPlan plan = resolve_quant_plan(options, layers(), steps, errors);
  for (const Errors::Finding& finding : errors.findings()) {
    FAIL_CHECK(finding.key << ": " << finding.message);
  }
  return plan;
}

// Findings as "key: message" of a plan that must not resolve.
std::vector<std::string> findings_of(const QuantOptions& options, int64_t steps = 100) {
  Errors errors;
  resolve_quant_plan(options, layers(), steps, errors);
  std::vector<std::string> out;
  for (const Errors::Finding& finding : errors.findings()) {
    out.push_back(finding.key + ": " + finding.message);
  }
  return out;
}

// Names of the layers that a match reaches.
std::vector<std::string> reached(const std::string& match) {
  const QuantPlan plan = plan_of({.base = {}, .layers = {{match, row_scales()}}, .phases = {}});
  std::vector<std::string> names;
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    if (plan.phases[0].specs[i].weight.granularity == Granularity::kRow) {
      names.push_back(plan.layers[i].name);
    }
  }
  return names;
}

using Names = std::vector<std::string>;

TEST_CASE("default reaches every linear of the blocks and never the head", "[quant]") {
  const QuantPlan plan = plan_of({.base = kTernary, .layers = {}, .phases = {}});
  REQUIRE(plan.layers.size() == 4 * 7 + 1);
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    INFO(plan.layers[i].name);
    CHECK((plan.phases[0].specs[i] == kTernary) == (plan.layers[i].role != Role::kHead));
    CHECK((plan.phases[0].specs[i] == LinearSpec{}) == (plan.layers[i].role == Role::kHead));
  }
}

TEST_CASE("a match is a role, blocks of a role, a name, or a pattern", "[quant]") {
  CHECK(reached("head") == Names{"head"});
  CHECK(reached("down[2]") == Names{"blocks.2.ffn.down"});
  CHECK(reached("o[1..2]") == Names{"blocks.1.attn.o", "blocks.2.attn.o"});
  CHECK(reached("qkv[3]") == Names{"blocks.3.attn.q", "blocks.3.attn.k", "blocks.3.attn.v"});
  CHECK(reached("gate_up[0]") == Names{"blocks.0.ffn.gate", "blocks.0.ffn.up"});
  CHECK(reached("down").size() == 4);
  CHECK(reached("blocks.3.attn.q") == Names{"blocks.3.attn.q"});
  CHECK(reached("blocks.0.*").size() == 7);
  CHECK(reached("*.q").size() == 4);
  CHECK(reached("*").size() == 28);
}

TEST_CASE("default, '*' and patterns leave routers alone until they are named", "[quant]") {
  ModelOptions model{.vocab_size = 300, .hidden = 64, .layers = 2, .heads = 4, .ffn = 96};
  model.moe = {.experts = 3, .active = 2, .heads = 2};
  const auto quantized = [&](const QuantOptions& options) {
    Errors errors;
    const QuantPlan plan = resolve_quant_plan(options, layer_table(model), 100, errors);
    CHECK(errors.empty());
    Names names;
    for (std::size_t i = 0; i < plan.layers.size(); ++i) {
      if (plan.phases.back().specs[i].quantizes()) {
        names.push_back(plan.layers[i].name);
      }
    }
    return names;
  };
  const auto with_patch = [&](const std::string& match) {
    SpecPatch ternary;
    ternary.weight.scheme = WeightScheme::kAbsmean;
    return quantized({.base = {}, .layers = {{match, ternary}}, .phases = {}});
  };
  const std::string router = "blocks.1.ffn.router";
  const std::size_t others = 7 + 4 + 1 + 9 + 1;  // dense block; attention, head, experts, merge
  const auto has_router = [&](const Names& names) {
    return std::find(names.begin(), names.end(), router) != names.end();
  };
  for (const Names& names :
       {quantized({.base = kTernary, .layers = {}, .phases = {}}), with_patch("*")}) {
    CHECK(names.size() == others);
    CHECK_FALSE(has_router(names));
  }
  CHECK(with_patch("blocks.1.*").size() == others - 7);
  CHECK_FALSE(has_router(with_patch("blocks.1.ffn.*")));
  for (const char* match : {"router", "router[1]", "blocks.1.ffn.router", "*.router"}) {
    INFO(match);
    CHECK(with_patch(match) == Names{router});
  }
  CHECK(with_patch("expert").size() == 9);
  CHECK(with_patch("*.experts.*.down").size() == 3);
  CHECK(with_patch("moe_head") == Names{"blocks.1.ffn.head"});
  CHECK(with_patch("moe_merge[0..1]") == Names{"blocks.1.ffn.merge"});
}

TEST_CASE("later patches win, and keep what they do not name", "[quant]") {
  SpecPatch bits;
  bits.activation.bits = 4;
  const QuantPlan plan = plan_of({.base = kTernary,
                                  .layers = {{"down", row_scales()}, {"*", bits}, {"head", bits}},
                                  .phases = {}});
  const LinearSpec& down =
      plan.phases[0].specs[static_cast<std::size_t>(plan.layer_index("blocks.1.ffn.down"))];
  LinearSpec expected = kTernary;
  expected.weight.granularity = Granularity::kRow;
  expected.activation.bits = 4;
  CHECK(down == expected);
  SpecPatch tensor;
  tensor.weight.granularity = Granularity::kTensor;
  const QuantPlan undone =
      plan_of({.base = kTernary, .layers = {{"down", row_scales()}, {"*", tensor}}, .phases = {}});
  CHECK(undone.phases[0].specs[6] == kTernary);
}

TEST_CASE("a patch sets each of its fields and no other", "[quant]") {
  using Change = std::pair<SpecPatch, LinearSpec>;
  const auto changed = [](const auto& patch_field, const auto& spec_field) {
    Change change;
    patch_field(change.first);
    spec_field(change.second);
    return change;
  };
  const Change changes[] = {
      changed([](SpecPatch& p) { p.weight.scheme = WeightScheme::kAbsmean; },
              [](LinearSpec& s) { s.weight.scheme = WeightScheme::kAbsmean; }),
      changed([](SpecPatch& p) { p.weight.granularity = Granularity::kRow; },
              [](LinearSpec& s) { s.weight.granularity = Granularity::kRow; }),
      changed([](SpecPatch& p) { p.weight.group_size = 32; },
              [](LinearSpec& s) { s.weight.group_size = 32; }),
      changed([](SpecPatch& p) { p.weight.eps = 0.5; }, [](LinearSpec& s) { s.weight.eps = 0.5; }),
      changed([](SpecPatch& p) { p.activation.scheme = ActivationScheme::kAbsmax; },
              [](LinearSpec& s) { s.activation.scheme = ActivationScheme::kAbsmax; }),
      changed([](SpecPatch& p) { p.activation.bits = 3; },
              [](LinearSpec& s) { s.activation.bits = 3; }),
      changed([](SpecPatch& p) { p.activation.granularity = Granularity::kRow; },
              [](LinearSpec& s) { s.activation.granularity = Granularity::kRow; }),
      changed([](SpecPatch& p) { p.activation.eps = 0.5; },
              [](LinearSpec& s) { s.activation.eps = 0.5; })};
  for (const auto& [patch, expected] : changes) {
    CHECK(patch.apply({}) == expected);
    CHECK_FALSE(expected == LinearSpec{});
  }
  CHECK(SpecPatch{}.apply(kTernary) == kTernary);
}

TEST_CASE("leaving granularity group drops the group size that belonged to it", "[quant]") {
  LinearSpec grouped = kTernary;
  grouped.weight.granularity = Granularity::kGroup;
  grouped.weight.group_size = 32;
  CHECK(row_scales().apply(grouped).weight.group_size == 0);
}

TEST_CASE("only the specs that come out must hold the rules", "[quant]") {
  LinearSpec grouped = kTernary;
  grouped.weight.granularity = Granularity::kGroup;
  grouped.weight.group_size = 64;  // divides hidden 64, not ffn 96
  CHECK(findings_of({.base = grouped, .layers = {}, .phases = {}}) ==
        Names{"default.weight.group_size: 64 does not divide the 96 input columns of "
              "blocks.0.ffn.down; choose a divisor, another granularity for that layer, or another "
              "width"});
  CHECK(findings_of({.base = grouped, .layers = {{"down", row_scales()}}, .phases = {}}).empty());
  SpecPatch group;
  group.weight.granularity = Granularity::kGroup;
  CHECK(findings_of({.base = kTernary, .layers = {{"o", group}}, .phases = {}}) ==
        Names{"layers[0].set.weight.group_size: granularity group needs a group_size of at least "
              "1, e.g. 128"});
}

TEST_CASE("phases begin at their step, build on each other, and ramp", "[quant]") {
  SpecPatch bits;
  bits.activation.bits = 4;
  const QuantPlan plan = plan_of(
      {.base = kTernary,
       .layers = {},
       .phases = {
           {.at = StepPoint::fraction(0.25), .ramp = StepPoint::steps(3), .layers = {{"o", bits}}},
           {.at = StepPoint::steps(50), .ramp = {}, .layers = {{"o", row_scales()}}}}});
  REQUIRE(plan.phases.size() == 3);
  CHECK(plan.phases[1].first_step == 25);
  CHECK(plan.phases[2].first_step == 50);
  CHECK(plan.phase_at(0) == 0);
  CHECK(plan.phase_at(24) == 0);
  CHECK(plan.phase_at(25) == 1);
  CHECK(plan.phase_at(49) == 1);
  CHECK(plan.phase_at(50) == 2);
  CHECK(plan.phase_at(1000) == 2);
  CHECK(plan.ramp_at(24) == 1.0);
  CHECK(plan.ramp_at(25) == 0.25);
  CHECK(plan.ramp_at(27) == 0.75);
  CHECK(plan.ramp_at(28) == 1.0);
  CHECK(plan.ramp_at(50) == 1.0);
  const auto o = static_cast<std::size_t>(plan.layer_index("blocks.0.attn.o"));
  CHECK(plan.phases[0].specs[o] == kTernary);
  CHECK(plan.phases[1].specs[o].activation.bits == 4);
  CHECK(plan.phases[2].specs[o].activation.bits == 4);
  CHECK(plan.phases[2].specs[o].weight.granularity == Granularity::kRow);
  CHECK_THROWS_AS(plan.layer_index("blocks.9.attn.o"), InternalError);
}

TEST_CASE("a tied head is no layer", "[quant]") {
  Errors errors;
  resolve_quant_plan({.base = {}, .layers = {{"head", row_scales()}}, .phases = {}}, layers(true),
                     100, errors);
  REQUIRE(errors.findings().size() == 1);
  CHECK(errors.findings()[0].key == "layers[0].match");
}

}  // namespace
}  // namespace setun
