// Every field of ModelOptions reaches the model: a case per field that fails when the field is
// ignored.
#include "model/model_options.h"

#include <functional>

#include "model/tiny_model.h"
#include "support/catch.h"

namespace setun {
namespace {

struct Observed {
  std::vector<std::string> parameters;  // name and shape
  at::Tensor logits;
};

Observed observe(const ModelOptions& options) {
  test::TinyModel tiny(options);
  Observed out;
  for (const auto& item : tiny.model->named_parameters()) {
    out.parameters.push_back(setun::str(item.key(), " ", item.value().sizes()));
  }
  // Larger weights than the initial ones, so that attention and norms are not in their linear
  // range.
  const c10::NoGradGuard no_grad;
  for (at::Tensor& parameter : tiny.model->parameters()) {
    parameter.mul_(parameter.dim() == 2 ? 8 : 1);
  }
  out.logits = tiny.logits(test::random_tokens({1, 12}, 30));
  return out;
}

using Change = std::function<void(ModelOptions&)>;

TEST_CASE("each field that decides shapes changes the parameters") {
  const std::pair<const char*, Change> fields[] = {
      {"vocab_size", [](ModelOptions& o) { o.vocab_size = 43; }},
      {"hidden", [](ModelOptions& o) { o.hidden = 40; }},
      {"layers", [](ModelOptions& o) { o.layers = 3; }},
      {"kv_heads", [](ModelOptions& o) { o.kv_heads = 1; }},
      {"head_dim", [](ModelOptions& o) { o.head_dim = 6; }},
      {"ffn", [](ModelOptions& o) { o.ffn = 50; }},
      {"tied_embeddings", [](ModelOptions& o) { o.tied_embeddings = false; }},
      {"norm.placement", [](ModelOptions& o) { o.norm.placement = NormPlacement::kPreNorm; }},
      {"norm.gain", [](ModelOptions& o) { o.norm.gain = false; }}};
  const auto base = observe(test::tiny_options()).parameters;
  for (const auto& [name, change] : fields) {
    ModelOptions options = test::tiny_options();
    change(options);
    INFO(name);
    CHECK(observe(options).parameters != base);
  }
}

TEST_CASE("each field that decides values changes the logits of equal shapes") {
  const std::pair<const char*, Change> fields[] = {
      {"heads",
       [](ModelOptions& o) { o.heads = 2, o.kv_heads = 1; }},  // 2 * 16 = 4 * 8: same shapes
      {"ffn_kind", [](ModelOptions& o) { o.ffn_kind = FfnKind::kRelu2Glu; }},
      {"rope_base", [](ModelOptions& o) { o.rope_base = 100; }},
      {"norm.eps", [](ModelOptions& o) { o.norm.eps = 0.1; }},
      {"init.kind", [](ModelOptions& o) { o.init.kind = InitKind::kFanIn; }},
      {"init.kind", [](ModelOptions& o) { o.init.kind = InitKind::kResidualScaled; }},
      {"init.std", [](ModelOptions& o) { o.init.std = 0.03; }}};
  const Observed base = observe(test::tiny_options());
  for (const auto& [name, change] : fields) {
    ModelOptions options = test::tiny_options();
    change(options);
    const Observed changed = observe(options);
    INFO(name);
    CHECK(changed.parameters == base.parameters);
    CHECK(test::max_difference(changed.logits, base.logits) > 1e-4);
  }
}

TEST_CASE("norm.kind changes the logits of equal shapes") {
  ModelOptions rms = test::tiny_options();
  rms.norm.gain = false;
  ModelOptions layer = rms;
  layer.norm.kind = NormKind::kLayer;
  const Observed base = observe(rms), changed = observe(layer);
  CHECK(changed.parameters == base.parameters);
  CHECK(test::max_difference(changed.logits, base.logits) > 1e-4);
}

TEST_CASE("norm.eps and norm.gain reach every norm of every placement") {
  for (const auto& [placement, name] : test::decoder_placements()) {
    for (const bool gain : {true, false}) {
      ModelOptions options = test::tiny_options();
      options.norm = {.placement = placement, .gain = gain, .eps = 0.25};
      DecoderLM model(options, at::kFloat);
      int64_t norms = 0;
      for (const auto& item : model->named_modules()) {
        if (const auto norm = std::dynamic_pointer_cast<NormImpl>(item.value())) {
          INFO(name << " " << item.key());
          CHECK(norm->eps == 0.25);
          CHECK(norm->weight.defined() == gain);
          ++norms;
        }
      }
      CHECK(norms >= 5);
    }
  }
}

TEST_CASE("max_context decides the longest sequence") {
  ModelOptions options = test::tiny_options();
  options.max_context = 11;
  CHECK_THROWS_WITH(observe(options), Catch::Contains("model.max_context = 11"));
}

TEST_CASE("no field is missing above") {
  // A new field breaks these bindings: add it to one of the lists, then here.
  const auto [model_kind, vocab_size, hidden, layers, heads, kv_heads, head_dim, ffn, ffn_kind,
              max_context, rope_base, tied_embeddings, classifier, norm, init, moe] =
      ModelOptions{};
  const auto [placement, norm_kind, gain, eps] = norm;
  const auto [kind, std_of_init] = init;
  CHECK(gain);
  CHECK((model_kind == ModelKind::kDecoder && norm_kind == NormKind::kRms));
  CHECK(classifier == ClassifierOptions{});  // its fields: classifier_test.cpp
  CHECK(moe == MoeOptions{});                // its fields: mixture_model_test.cpp
  CHECK(eps + std_of_init > 0);
  CHECK(vocab_size + hidden + layers + heads + kv_heads + head_dim + ffn + max_context > 0);
  CHECK((ffn_kind == FfnKind::kSwiGlu && placement == NormPlacement::kSubln &&
         kind == InitKind::kNormal));
  CHECK((tied_embeddings && rope_base > 0));
}

}  // namespace
}  // namespace setun
