// model/decoder_lm.h: names, causality, document isolation, dtypes, limits.
#include "model/decoder_lm.h"

#include <ATen/ATen.h>

#include "model/tiny_model.h"
#include "support/catch.h"

namespace setun {
namespace {

std::vector<std::string> names_of_block_0(NormPlacement placement) {
  ModelOptions options = test::tiny_options();
  options.norm.placement = placement;
  options.tied_embeddings = false;
  DecoderLM model(options, at::kFloat);
  std::vector<std::string> names;
  for (const auto& item : model->named_parameters()) {
    if (!item.key().starts_with("blocks.1")) {
      names.push_back(item.key());
    }
  }
  return names;
}

TEST_CASE("parameter names and their order are the checkpoint contract, for every norm placement") {
  using Names = std::vector<std::string>;
  CHECK(names_of_block_0(NormPlacement::kPreNorm) ==
        Names{"embed.weight", "blocks.0.attn_norm.weight", "blocks.0.attn.q.weight",
              "blocks.0.attn.k.weight", "blocks.0.attn.v.weight", "blocks.0.attn.o.weight",
              "blocks.0.ffn_norm.weight", "blocks.0.ffn.gate.weight", "blocks.0.ffn.up.weight",
              "blocks.0.ffn.down.weight", "norm.weight", "head.weight"});
  CHECK(names_of_block_0(NormPlacement::kSubln) ==
        Names{"embed.weight", "blocks.0.attn_norm.weight", "blocks.0.attn.q.weight",
              "blocks.0.attn.k.weight", "blocks.0.attn.v.weight", "blocks.0.attn.o.weight",
              "blocks.0.attn.sub_norm.weight", "blocks.0.ffn_norm.weight",
              "blocks.0.ffn.gate.weight", "blocks.0.ffn.up.weight", "blocks.0.ffn.down.weight",
              "blocks.0.ffn.sub_norm.weight", "norm.weight", "head.weight"});
  const Names own = {"blocks.0.attn.q.weight", "blocks.0.attn.q.norm.weight",
                     "blocks.0.attn.k.weight", "blocks.0.attn.k.norm.weight",
                     "blocks.0.attn.v.weight", "blocks.0.attn.v.norm.weight",
                     "blocks.0.attn.o.weight", "blocks.0.attn.o.norm.weight"};
  const Names own_ffn = {"blocks.0.ffn.gate.weight",
                         "blocks.0.ffn.gate.norm.weight",
                         "blocks.0.ffn.up.weight",
                         "blocks.0.ffn.up.norm.weight",
                         "blocks.0.ffn.down.weight",
                         "blocks.0.ffn.down.norm.weight",
                         "norm.weight",
                         "head.weight"};
  Names per_linear = {"embed.weight"}, both = {"embed.weight", "blocks.0.attn_norm.weight"};
  per_linear.insert(per_linear.end(), own.begin(), own.end());
  per_linear.insert(per_linear.end(), own_ffn.begin(), own_ffn.end());
  both.insert(both.end(), own.begin(), own.end());
  both.push_back("blocks.0.ffn_norm.weight");
  both.insert(both.end(), own_ffn.begin(), own_ffn.end());
  CHECK(names_of_block_0(NormPlacement::kPerLinear) == per_linear);
  CHECK(names_of_block_0(NormPlacement::kPreNormPerLinear) == both);
}

TEST_CASE("changing a token changes no logits before it and some from it on") {
  for (const LinearSpec& spec : {LinearSpec{}, test::ternary_spec()}) {
    test::TinyModel tiny(test::tiny_options(), spec);
    const at::Tensor tokens = test::random_tokens({2, 12}, 41);
    at::Tensor changed = tokens.clone();
    changed.select(1, 5).add_(1).remainder_(41);
    const at::Tensor a = tiny.logits(tokens), b = tiny.logits(changed);
    CHECK(a.sizes() == at::IntArrayRef{2, 12, 41});
    CHECK(at::equal(a.narrow(1, 0, 5), b.narrow(1, 0, 5)));
    for (int64_t t = 5; t < 12; ++t) {
      CHECK_FALSE(at::equal(a.select(1, t), b.select(1, t)));
    }
  }
}

TEST_CASE("the first of two tokens does not see the second") {
  test::TinyModel tiny(test::tiny_options());
  const at::Tensor a = at::tensor({3, 5}, at::kLong).unsqueeze(0),
                   b = at::tensor({3, 9}, at::kLong).unsqueeze(0);
  CHECK(at::equal(tiny.logits(a).select(1, 0), tiny.logits(b).select(1, 0)));
}

TEST_CASE("the order of earlier tokens matters: positions reach the logits") {
  test::TinyModel tiny(test::tiny_options());
  const at::Tensor tokens = test::random_tokens({1, 8}, 41);
  const at::Tensor swapped = at::cat({tokens.narrow(1, 0, 7).flip(1), tokens.narrow(1, 7, 1)}, 1);
  CHECK(test::max_difference(tiny.logits(tokens).select(1, 7), tiny.logits(swapped).select(1, 7)) >
        1e-6);
}

TEST_CASE("isolated documents see what separate sequences would") {
  test::TinyModel tiny(test::tiny_options());
  const at::Tensor tokens = test::random_tokens({2, 11}, 41);
  at::Tensor documents = at::full({2, 11}, 3, at::kLong);
  documents.narrow(1, 4, 7).fill_(4);
  const at::Tensor packed = tiny.logits(tokens, {.documents_BT = documents});
  const at::Tensor first = tiny.logits(tokens.narrow(1, 0, 4)),
                   second = tiny.logits(tokens.narrow(1, 4, 7));
  // Positions differ by an offset, which rotary scores do not see beyond rounding.
  CHECK(at::allclose(packed, at::cat({first, second}, 1), 1e-4, 1e-5));
  CHECK(test::max_difference(packed.narrow(1, 4, 7), tiny.logits(tokens).narrow(1, 4, 7)) > 1e-4);
}

TEST_CASE("the tied head's gradient is the sum of both uses of the embedding") {
  ModelOptions options = test::tiny_options();
  test::TinyModel tied(options);
  options.tied_embeddings = false;
  test::TinyModel untied(options);
  {
    const c10::NoGradGuard no_grad;
    untied.model->head->weight.copy_(tied.model->embed->weight);
  }
  const at::Tensor tokens = test::random_tokens({2, 9}, 41),
                   targets = test::random_tokens({2, 9}, 41, 8);
  CHECK(tied.backward(tokens, targets) == Approx(untied.backward(tokens, targets)).epsilon(1e-6));
  CHECK(at::allclose(tied.model->embed->weight.grad(),
                     untied.model->embed->weight.grad() + untied.model->head->weight.grad(), 1e-5,
                     1e-6));
}

TEST_CASE("bf16 compute keeps fp32 parameters and gradients, is finite and near fp32") {
  for (const LinearSpec& spec : {LinearSpec{}, test::ternary_spec()}) {
    test::TinyModel wide(test::tiny_options(), spec),
        narrow(test::tiny_options(), spec, 1, at::kBFloat16);
    const at::Tensor tokens = test::random_tokens({2, 16}, 41),
                     targets = test::random_tokens({2, 16}, 41, 8);
    CHECK(narrow.logits(tokens).scalar_type() == at::kBFloat16);
    const double a = wide.backward(tokens, targets), b = narrow.backward(tokens, targets);
    CHECK(a == Approx(b).epsilon(0.01));
    const auto wide_parameters = wide.model->named_parameters();
    for (const auto& item : narrow.model->named_parameters()) {
      INFO(item.key());
      const at::Tensor got = item.value().grad(), want = wide_parameters[item.key()].grad();
      REQUIRE(got.defined());
      CHECK(got.scalar_type() == at::kFloat);
      // A bf16 product has 8 bits; the direction must hold.
      CHECK((got * want).sum().item<double>() >
            0.9 * got.norm().item<double>() * want.norm().item<double>());
    }
  }
}

TEST_CASE("the logits of the last position alone equal the last of all") {
  test::TinyModel tiny(test::tiny_options());
  const at::Tensor tokens = test::random_tokens({3, 6}, 41);
  const at::Tensor last = tiny.logits(tokens, {.last_position_only = true});
  CHECK(last.sizes() == at::IntArrayRef{3, 1, 41});
  CHECK(test::max_difference(last.select(1, 0), tiny.logits(tokens).select(1, 5)) < 1e-5);
}

TEST_CASE("a sequence beyond max_context is refused with both numbers") {
  test::TinyModel tiny(test::tiny_options());
  CHECK_THROWS_WITH(tiny.logits(test::random_tokens({1, 65}, 41)),
                    Catch::Contains("65 tokens exceed model.max_context = 64"));
}

}  // namespace
}  // namespace setun
