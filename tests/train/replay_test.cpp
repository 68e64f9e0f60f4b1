// train/replay.h: a step that is not finite is traced to the layer where that begins.
#include "train/replay.h"

#include <ATen/ATen.h>

#include "support/catch.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;

enum class Fault { kNone, kInput, kWeight, kGradient };

// Two ternary layers with something between them that can go wrong.
struct TwoLayers : Task {
  explicit TwoLayers(Fault fault_in) : fault(fault_in) {
    const c10::NoGradGuard no_grad;
    first->weight.copy_(at::linspace(-1, 1, 32).view({8, 4}));
    second->weight.copy_(at::linspace(-1, 2, 32).view({4, 8}));
    if (fault == Fault::kWeight) {
      first->weight[2][3] = INFINITY;
    }
  }
  std::vector<NamedTensor> parameters() const override {
    return {{"first.weight", first->weight}, {"second.weight", second->weight}};
  }
  std::vector<NamedLinear> linears() const override {
    return {{"first", first}, {"second", second}};
  }
  StepSample sample(int64_t micro_batches) override { return {micro_batches, micro_batches}; }
  std::vector<at::Tensor> sampled_tensors() const override { return {}; }
  MicroBatchLoss loss(int64_t micro_batch, QuantContext& context) override {
    const at::Tensor x = at::linspace(-3, 3, 12).view({3, 4});
    at::Tensor between = first(x, context);
    if (fault == Fault::kInput && micro_batch == 1) {
      between = between / at::arange(3).unsqueeze(1);
    }
    if (fault == Fault::kGradient) {  // an infinite slope at 0
      between = between.mul(0).sqrt();
    }
    return {.sum = second(between, context).sum()};
  }
  bool can_evaluate() const override { return false; }
  EvalResult evaluate(QuantContext&) override { return {}; }
  LoaderPosition position() const override { return {}; }
  void seek(const LoaderPosition&) override {}
  std::string data_fingerprint() const override { return ""; }
  void check_fingerprint(const std::string&) const override {}

  Fault fault;
  BitLinear first{BitLinearOptions{.in_features = 4, .out_features = 8, .layer = 0}};
  BitLinear second{BitLinearOptions{.in_features = 8, .out_features = 4, .layer = 1}};
};

std::string replayed(Fault fault, Products products, int64_t micro_batches = 2) {
  LinearSpec spec;
  spec.weight.scheme = WeightScheme::kAbsmean;
  spec.activation.scheme = ActivationScheme::kAbsmax;
  QuantContext context(
      {.layers = {{"first", Role::kGateUp, 0, 8, 4}, {"second", Role::kDown, 0, 4, 8}},
       .phases = {{.specs = {spec, spec}}}},
      {.products = products});
  TwoLayers task(fault);
  return replay_non_finite(task, context, {}, micro_batches);
}

TEST_CASE("a step that is not finite is replayed to the layer where that begins") {
  for (const Products products : {Products::kSimulated, Products::kInteger}) {
    INFO(enum_name(products));
    CHECK(replayed(Fault::kNone, products).empty());
    CHECK_THAT(replayed(Fault::kInput, products),
               Contains("second: ") && Contains(" of 24 elements of its input"));
    CHECK(replayed(Fault::kInput, products, 1).empty());  // the fault is in the second micro-batch
    CHECK_THAT(replayed(Fault::kWeight, products),
               Contains("first: ") && Contains(" of 24 elements of its result are not finite"));
    CHECK_THAT(replayed(Fault::kGradient, products),
               Contains("first: ") && Contains(" of 24 elements of the gradient it gets"));
  }
}

}  // namespace
}  // namespace setun
