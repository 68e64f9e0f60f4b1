// Decoders with experts: names, sizes, the router report, recomputation, thread counts, generation
// with a cache, parity sizes.
#include <ATen/ATen.h>

#include "bench/counting_allocator.h"
#include "model/tiny_model.h"
#include "optim/adamw.h"
#include "support/catch.h"

namespace setun {
namespace {

using Names = std::vector<std::string>;

Names feed_forward_names(ModelOptions options, NormPlacement placement) {
  options.norm.placement = placement;
  options.moe.experts = 2;
  DecoderLM model(options, at::kFloat);
  Names names;
  for (const auto& item : model->named_parameters()) {
    if (item.key().starts_with("blocks.1.ffn.")) {
      names.push_back(item.key().substr(13));
    }
  }
  return names;
}

TEST_CASE("names of a mixture's parameters are the checkpoint contract") {
  CHECK(feed_forward_names(test::tiny_mixture(1), NormPlacement::kPreNorm) ==
        Names{"router.weight", "experts.0.gate.weight", "experts.0.up.weight",
              "experts.0.down.weight", "experts.1.gate.weight", "experts.1.up.weight",
              "experts.1.down.weight"});
  CHECK(feed_forward_names(test::tiny_mixture(2), NormPlacement::kSubln) ==
        Names{"head.weight", "router.weight", "experts.0.gate.weight", "experts.0.up.weight",
              "experts.0.down.weight", "experts.0.sub_norm.weight", "experts.1.gate.weight",
              "experts.1.up.weight", "experts.1.down.weight", "experts.1.sub_norm.weight",
              "sub_norm.weight", "merge.weight"});
  const Names per_linear = feed_forward_names(test::tiny_mixture(2), NormPlacement::kPerLinear);
  CHECK(per_linear.size() == 2 * 9);
  for (const char* name : {"head", "router", "experts.1.down", "merge"}) {
    CHECK(std::count(per_linear.begin(), per_linear.end(), setun::str(name, ".norm.weight")) == 1);
  }
}

TEST_CASE("experts stand in blocks every - 1, 2 every - 1, ..., with roles and shapes") {
  ModelOptions options = test::tiny_mixture(2);
  options.layers = 5;
  options.moe.every = 2;
  std::map<std::string, int64_t> roles;
  for (const LayerInfo& layer : layer_table(options)) {
    ++roles[std::string(enum_name(layer.role))];
    if (layer.role == Role::kRouter || layer.role == Role::kExpert) {
      CHECK((layer.block == 1 || layer.block == 3));
    }
    const bool out =
        layer.role == Role::kO || layer.role == Role::kDown || layer.role == Role::kMoeMerge;
    CHECK(layer.to_residual == out);  // with heads an expert's down is not the last projection
  }
  CHECK(roles == std::map<std::string, int64_t>{{"qkv", 15},
                                                {"o", 5},
                                                {"gate_up", 6},
                                                {"down", 3},
                                                {"expert", 30},
                                                {"router", 2},
                                                {"moe_head", 2},
                                                {"moe_merge", 2}});
  options.moe.heads = 1;
  for (const LayerInfo& layer : layer_table(options)) {
    if (layer.role == Role::kExpert) {
      CHECK(layer.to_residual == layer.name.ends_with(".down"));
      CHECK(layer.out_features == (layer.to_residual ? 32 : 24));
    }
  }
}

TEST_CASE("parameter counts of mixtures equal the module's, and the active ones a small twin's") {
  for (const auto& [placement, name] : test::decoder_placements()) {
    for (const int64_t heads : {1, 2, 4}) {
      for (const bool gain : {true, false}) {
        INFO(name << " heads " << heads << " gain " << gain);
        ModelOptions options = test::tiny_mixture(heads);
        options.norm = {.placement = placement, .gain = gain};
        options.moe.experts = 9;
        const auto count = [](const ModelOptions& o) {
          int64_t parameters = 0;
          for (const at::Tensor& parameter : DecoderLM(o, at::kFloat)->parameters()) {
            parameters += parameter.numel();
          }
          return parameters;
        };
        const SizeEstimate size = estimate_size(options, test::uniform_plan(options, {}), 1, 8,
                                                false, Products::kInteger);
        CHECK(size.parameters == count(options));
        ModelOptions reached = options;  // the experts one token can choose, and the router's rows
        reached.moe.experts = std::min<int64_t>(9, 2 * heads);
        const int64_t router_rows = (9 - reached.moe.experts) * 32 / heads;
        CHECK(size.active_parameters == count(reached) + router_rows);
      }
    }
  }
}

TEST_CASE("the router report is the mean balance and the counts, the same when blocks recompute") {
  ModelOptions options = test::tiny_mixture(2);
  options.layers = 4;
  for (const LinearSpec& spec : {LinearSpec{}, test::ternary_spec()}) {
    test::TinyModel plain(options, spec), recomputed(options, spec), unasked(options, spec);
    const at::Tensor tokens = test::random_tokens({2, 16}, 41),
                     targets = test::random_tokens({2, 16}, 41, 8);
    RouterReport a, b;
    for (int i = 0; i < 2; ++i) {
      const auto run = [&](test::TinyModel& tiny, RouterReport* report, bool recompute) {
        const at::Tensor logits =
            tiny.logits(tokens, {.recompute_blocks = recompute, .routers = report});
        const at::Tensor loss = cross_entropy_sum(logits, targets).sum;
        (report == nullptr ? loss : loss + 5 * report->balance).backward();
      };
      run(plain, &a, false);
      run(recomputed, &b, true);
      run(unasked, nullptr, i == 1);
    }
    CHECK(at::equal(a.balance, b.balance));
    REQUIRE(a.counts_E.size() == 2);
    REQUIRE(b.counts_E.size() == 2);
    CHECK(at::equal(a.counts_E[1], b.counts_E[1]));
    CHECK(a.counts_E[0].sum().item<int64_t>() == 2 * 16 * 2 * 2);
    plain.context.backward_to_latents();
    recomputed.context.backward_to_latents();
    unasked.context.backward_to_latents();
    CHECK(plain.context.quantize_count() == recomputed.context.quantize_count());
    const auto expected = plain.model->named_parameters(),
               other = unasked.model->named_parameters();
    for (const auto& item : recomputed.model->named_parameters()) {
      INFO(item.key());
      REQUIRE(item.value().grad().defined());
      CHECK(at::equal(item.value().grad(), expected[item.key()].grad()));
      if (item.key().find("router") != std::string::npos) {
        CHECK_FALSE(at::equal(item.value().grad(), other[item.key()].grad()));
      }
    }
  }
}

TEST_CASE("a dense model reports no routers") {
  test::TinyModel tiny(test::tiny_options());
  RouterReport report{.balance = at::ones({}), .counts_E = {at::ones({3})}};
  tiny.logits(test::random_tokens({1, 4}, 41), {.routers = &report});
  CHECK_FALSE(report.balance.defined());
  CHECK(report.counts_E.empty());
}

TEST_CASE("a mixture generates with a cache what the whole sequence gives") {
  for (const int64_t heads : {1, 2}) {
    test::TinyModel tiny(test::tiny_mixture(heads), test::ternary_spec());
    const c10::NoGradGuard no_grad;
    const at::Tensor tokens = test::random_tokens({1, 12}, 41);
    const at::Tensor whole = tiny.logits(tokens);
    KvCache cache;
    tiny.logits(tokens.narrow(1, 0, 7), {.cache = &cache});
    for (int64_t t = 7; t < 12; ++t) {
      const at::Tensor next = tiny.logits(tokens.narrow(1, t, 1), {.cache = &cache});
      CHECK(at::allclose(next.select(1, 0), whole.select(1, t), 1e-3, 1e-4));
    }
  }
}

TEST_CASE("residual_scaled shrinks what is added to the residual stream, of mixtures too") {
  ModelOptions options{.vocab_size = 40, .hidden = 128, .layers = 8, .heads = 2, .ffn = 128};
  options.moe = {.experts = 2, .active = 1, .heads = 1};
  options.init = {.kind = InitKind::kResidualScaled, .std = 0.05};
  const auto spread = [&](const std::string& name) {
    test::TinyModel tiny(options);
    return tiny.model->named_parameters()[name].pow(2).mean().sqrt().item<double>();
  };
  const auto near = [](double value) { return Approx(value).epsilon(0.03); };
  CHECK(spread("blocks.1.ffn.experts.1.down.weight") == near(0.05 / 4));
  CHECK(spread("blocks.1.ffn.experts.1.up.weight") == near(0.05));
  options.moe.heads = 2;
  CHECK(spread("blocks.1.ffn.experts.1.down.weight") == near(0.05));
  CHECK(spread("blocks.1.ffn.head.weight") == near(0.05));
  CHECK(spread("blocks.1.ffn.merge.weight") == near(0.05 / 4));
}

TEST_CASE("AdamW moves idle experts as any parameter with a gradient of zero") {
  ModelOptions options = test::tiny_mixture(1);
  options.moe.experts = 30;  // more than the choices of eight tokens
  test::TinyModel tiny(options, test::ternary_spec());
  std::vector<NamedParameter> parameters;
  for (const auto& item : tiny.model->named_parameters()) {
    parameters.push_back({item.key(), item.value()});
  }
  AdamW optimizer(make_param_groups(parameters, layer_table(options), {}), {});
  const at::Tensor tokens = test::random_tokens({1, 8}, 41);
  tiny.backward(tokens, tokens);
  optimizer.step(1e-3, 0.1);
  for (const NamedParameter& item : optimizer.state()) {
    if (item.name.ends_with(".step")) {
      INFO(item.name);
      CHECK(item.tensor.item<float>() == 1);
    }
  }
}

}  // namespace
}  // namespace setun
