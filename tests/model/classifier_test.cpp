// Feed-forward classifiers: shapes and sizes, gradients (finite differences; the composite-detach
// oracle for ternary ones), dropout, and an effect for every option.
#include "model/classifier.h"

#include <ATen/ATen.h>

#include "loss/cross_entropy.h"
#include "model/tiny_model.h"
#include "ops/ops.h"
#include "support/catch.h"

namespace setun {
namespace {

ModelOptions mlp_options() {
  ModelOptions options;
  options.kind = ModelKind::kMlp;
  options.classifier = {.features = 6, .classes = 3, .widths = {10, 7}};
  options.norm = {.placement = NormPlacement::kPerLinear};
  options.init = {.kind = InitKind::kFanIn, .std = 0.3};
  return options;
}

ModelOptions bag_options() {
  ModelOptions options = mlp_options();
  options.kind = ModelKind::kBagOfWords;
  options.vocab_size = 12;
  options.classifier = {.classes = 3, .widths = {10, 7}};
  return options;
}

ClassifierInput rows() {
  return {.values_BF = at::randn({5, 6}, at::detail::createCPUGenerator(3), at::kFloat)};
}

// Five bags over 12 words; the third is empty and a word stands twice in the last.
ClassifierInput bags() {
  return {.words = at::tensor({0L, 3L, 11L, 2L, 5L, 7L, 7L}),
          .weights = at::tensor({1.0F, 0.5F, 2.0F, 0.1F, 1.0F, -1.0F, 3.0F}),
          .starts_B = at::tensor({0L, 2L, 3L, 3L, 5L})};
}

struct Tiny {
  explicit Tiny(const ModelOptions& options, const LinearSpec& spec = {}, uint64_t seed = 1)
      : model(options, at::kFloat), context(test::uniform_plan(options, spec)) {
    initialise(model, seed);
    context.begin_step({});
  }
  at::Tensor logits(std::optional<uint64_t> key = {}) {
    return model->forward(model->embed ? bags() : rows(), context, key);
  }
  at::Tensor loss(std::optional<uint64_t> key = {}) {
    const at::Tensor labels = at::tensor({0L, 1L, 2L, 1L, 0L});
    return cross_entropy_sum(logits(key).unsqueeze(1), labels.unsqueeze(1)).sum;
  }
  Classifier model;
  QuantContext context;
};

TEST_CASE("a classifier's layers are hidden.N and classifier, which a plan's default reaches") {
  const auto layers = layer_table(mlp_options());
  REQUIRE(layers.size() == 3);
  CHECK((layers[0].name == "hidden.0" && layers[0].role == Role::kHidden));
  CHECK((layers[0].in_features == 6 && layers[0].out_features == 10));
  CHECK((layers[1].name == "hidden.1" && layers[1].in_features == 10));
  CHECK((layers[2].name == "classifier" && layers[2].role == Role::kClassifier));
  CHECK((layers[2].in_features == 7 && layers[2].out_features == 3));
  const auto of_bags = layer_table(bag_options());
  REQUIRE(of_bags.size() == 2);
  CHECK((of_bags[0].name == "hidden.0" && of_bags[0].in_features == 10));

  const auto quantized = [](const QuantOptions& quant) {
    Errors errors;
    const QuantPlan plan = resolve_quant_plan(quant, layer_table(mlp_options()), 10, errors);
    CHECK(errors.empty());
    std::string out;
    for (const LinearSpec& spec : plan.phases[0].specs) {
      out += spec.quantizes() ? "q" : "-";
    }
    return out;
  };
  QuantOptions quant;
  quant.base = test::ternary_spec();
  CHECK(quantized(quant) == "qqq");
  LayerPatch patch{.match = "hidden"};
  patch.set.weight.scheme = WeightScheme::kNone;
  patch.set.activation.scheme = ActivationScheme::kNone;
  quant.layers = {patch};
  CHECK(quantized(quant) == "--q");  // "only the output layer"
  quant.layers[0].match = "hidden[1]";
  CHECK(quantized(quant) == "q-q");
}

TEST_CASE("a classifier's parameter count equals the module's for every combination of options") {
  for (ModelOptions options : {mlp_options(), bag_options()}) {
    for (const bool bias : {true, false}) {
      for (const bool gain : {true, false}) {
        for (const NormPlacement placement : {NormPlacement::kNone, NormPlacement::kPerLinear}) {
          options.classifier.bias = bias;
          options.norm.gain = gain;
          options.norm.placement = placement;
          const Classifier model(options, at::kFloat);
          int64_t parameters = 0;
          for (const at::Tensor& parameter : model->parameters()) {
            parameters += parameter.numel();
          }
          const QuantPlan plan = test::uniform_plan(options, test::ternary_spec());
          const SizeEstimate size = estimate_size(options, plan, 1, 1, false, Products::kInteger);
          CHECK(size.parameters == parameters);
          const bool bag = options.kind == ModelKind::kBagOfWords;
          const int64_t ternary = (bag ? 0 : 60) + 70 + 21;
          CHECK(size.quantized_parameters == ternary);
          CHECK(size.packed_bytes == 0.25 * static_cast<double>(ternary) + 4 * (bag ? 2 : 3) +
                                         2 * static_cast<double>(parameters - ternary));
        }
      }
    }
  }
  ModelOptions linear = mlp_options();  // no hidden layer: logistic regression
  linear.classifier.widths = {};
  CHECK(Tiny(linear).logits().sizes() == at::IntArrayRef({5, 3}));
}

TEST_CASE("gradients of every parameter of a classifier equal finite differences") {
  for (ModelOptions options : {mlp_options(), bag_options()}) {
    for (const auto& [activation, name] : EnumNames<HiddenActivation>::table) {
      for (const NormKind kind : {NormKind::kRms, NormKind::kLayer}) {
        options.classifier.activation = activation;
        options.classifier.dropout = 0.3;
        options.norm.kind = kind;
        options.norm.gain = kind == NormKind::kRms;
        Tiny tiny(options);
        for (const auto& item : tiny.model->named_parameters()) {
          // An empty bag is its bias: at 0 a norm behind it would bend within any step.
          const c10::NoGradGuard no_grad;
          if (item.key().ends_with("bias")) {
            item.value().copy_(at::linspace(-0.9, 1.1, item.value().numel()));
          }
        }
        tiny.loss(9).backward();
        for (const auto& item : tiny.model->named_parameters()) {
          INFO(name << " " << item.key());
          const at::Tensor gradient = item.value().grad();
          REQUIRE(gradient.defined());
          const double norm = gradient.norm().item<double>();
          const c10::NoGradGuard no_grad;
          const at::Tensor start = item.value().clone();
          const auto loss_at = [&](double offset) {
            item.value().copy_(start).add_(gradient, offset / norm);
            return tiny.loss(9).item<double>();
          };
          const double slope = (loss_at(2e-3) - loss_at(-2e-3)) / 4e-3;
          item.value().copy_(start);
          CHECK(slope == Approx(norm).epsilon(0.02));
        }
      }
    }
  }
}

TEST_CASE("a ternary classifier with biases equals the composite-detach oracle") {
  ModelOptions options = mlp_options();
  options.norm = {.placement = NormPlacement::kPerLinear, .kind = NormKind::kLayer, .gain = false};
  Tiny tiny(options, test::ternary_spec());
  {
    const c10::NoGradGuard no_grad;
    for (const auto& item : tiny.model->named_parameters()) {
      if (item.value().dim() == 1) {
        item.value().uniform_(-0.5, 0.5);
      }
    }
  }
  std::map<std::string, at::Tensor> copies;
  for (const auto& item : tiny.model->named_parameters()) {
    copies[item.key()] = item.value().detach().clone().requires_grad_();
  }
  const auto straight_through = [](const at::Tensor& x, const at::Tensor& value) {
    return x + (value - x).detach();
  };
  const auto linear = [&](const std::string& name, const at::Tensor& input) {
    const at::Tensor centred = input - input.mean(-1, true);
    const at::Tensor x = centred / (centred.pow(2).mean(-1, true) + 1e-5).sqrt();
    const at::Tensor& w = copies.at(name + ".weight");
    const at::Tensor xq = ops::dequantize_absmax(ops::quantize_absmax(x.detach(), 8, 1e-5));
    const at::Tensor wq = ops::dequantize_absmean(ops::quantize_absmean(w.detach(), 0, 1e-5));
    return at::linear(straight_through(x, xq), straight_through(w, wq)) + copies.at(name + ".bias");
  };
  at::Tensor x = at::relu(linear("hidden.0", rows().values_BF));
  x = at::relu(linear("hidden.1", x));
  const at::Tensor expected = linear("classifier", x);
  expected.square().sum().backward();
  const at::Tensor got = tiny.logits();
  got.square().sum().backward();
  tiny.context.backward_to_latents();
  CHECK(test::max_difference(got, expected) < 1e-5);
  for (const auto& item : tiny.model->named_parameters()) {
    INFO(item.key());
    const at::Tensor want = copies[item.key()].grad();
    CHECK((item.value().grad() - want).norm().item<double>() <= 1e-4 * want.norm().item<double>());
  }
}

TEST_CASE("a bag of words is the product of its weights with the embedding") {
  ModelOptions options = bag_options();
  Tiny tiny(options);
  const ClassifierInput input = bags();
  at::Tensor dense = at::zeros({5, 12});
  const int64_t bag_of[] = {0, 0, 1, 3, 3, 4, 4};
  for (int64_t i = 0; i < 7; ++i) {
    dense[bag_of[i]][input.words[i].item<int64_t>()] += input.weights[i];
  }
  const c10::NoGradGuard no_grad;
  tiny.model->embed->bias.uniform_();
  const at::Tensor got = tiny.model->embed(input.words, input.weights, input.starts_B);
  const at::Tensor want = at::linear(dense, tiny.model->embed->weight.t(), tiny.model->embed->bias);
  CHECK(test::max_difference(got, want) < 1e-6);
}

TEST_CASE("dropout follows its key, spares evaluation, and keeps the mean") {
  ModelOptions options = mlp_options();
  options.classifier = {.features = 6, .classes = 3, .widths = {4000}, .dropout = 0.25};
  Tiny tiny(options);
  CHECK(at::equal(tiny.logits(5), tiny.logits(5)));
  CHECK_FALSE(at::equal(tiny.logits(5), tiny.logits(6)));
  CHECK_FALSE(at::equal(tiny.logits(5), tiny.logits()));
  CHECK(at::equal(tiny.logits(), tiny.logits()));
  options.classifier.dropout = 0;
  CHECK(at::equal(Tiny(options).logits(5), Tiny(options).logits()));
}

TEST_CASE("every option of a classifier changes what it computes") {
  struct Change {
    const char* name;
    void (*apply)(ModelOptions&);
  };
  const Change changes[] = {
      {"widths",
       [](ModelOptions& o) {
         o.classifier.widths = {10, 8};
       }},
      {"activation", [](ModelOptions& o) { o.classifier.activation = HiddenActivation::kGelu; }},
      {"activation", [](ModelOptions& o) { o.classifier.activation = HiddenActivation::kSilu; }},
      {"placement", [](ModelOptions& o) { o.norm.placement = NormPlacement::kNone; }},
      {"norm.kind",
       [](ModelOptions& o) {
         o.norm.kind = NormKind::kLayer;
         o.norm.gain = false;
       }},
      {"norm.eps", [](ModelOptions& o) { o.norm.eps = 0.5; }},
      {"init.kind", [](ModelOptions& o) { o.init.kind = InitKind::kNormal; }}};
  for (const ModelOptions& base : {mlp_options(), bag_options()}) {
    for (const Change& change : changes) {
      ModelOptions options = base;
      change.apply(options);
      INFO(enum_name(base.kind) << " " << change.name);
      CHECK(test::max_difference(Tiny(options).logits(), Tiny(base).logits()) > 1e-4);
    }
    CHECK(test::max_difference(Tiny(base, {}, 2).logits(), Tiny(base).logits()) > 1e-4);
  }
  ModelOptions narrow = bag_options();
  narrow.norm.placement = NormPlacement::kNone;  // a norm would undo the scale
  ModelOptions wide = narrow;
  wide.init.std = 0.1;  // of the embedding
  CHECK(test::max_difference(Tiny(wide).logits(), Tiny(narrow).logits()) > 1e-4);
  const auto [features, classes, widths, activation, bias, dropout] = ClassifierOptions{};
  CHECK((features == 0 && classes == 0 && widths.empty() && bias && dropout == 0 &&
         activation == HiddenActivation::kRelu));  // a new field: add it above, then here
}

}  // namespace
}  // namespace setun
