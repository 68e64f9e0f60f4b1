#include "model/classifier_table.h"

#include <algorithm>

namespace setun {
namespace {

// Width of what enters the first linear layer.
int64_t input_width(const ModelOptions& options) {
  return options.kind == ModelKind::kBagOfWords ? options.classifier.widths.front()
                                                : options.classifier.features;
}

// Biases of every layer, and the gains of the norms in front of the linear ones.
int64_t vector_parameters(const ModelOptions& options, const std::vector<LayerInfo>& layers) {
  const bool gains = options.norm.placement == NormPlacement::kPerLinear && options.norm.gain;
  int64_t count = 0;
  for (const LayerInfo& layer : layers) {
    count += (options.classifier.bias ? layer.out_features : 0) + (gains ? layer.in_features : 0);
  }
  const bool embedding_bias = options.kind == ModelKind::kBagOfWords && options.classifier.bias;
  return count + (embedding_bias ? input_width(options) : 0);
}

}  // namespace

std::vector<LayerInfo> classifier_table(const ModelOptions& options) {
  const ClassifierOptions& sizes = options.classifier;
  std::vector<LayerInfo> layers;
  int64_t in = input_width(options);
  const std::size_t first = options.kind == ModelKind::kBagOfWords ? 1 : 0;
  for (std::size_t i = first; i < sizes.widths.size(); ++i) {
    const auto block = static_cast<int64_t>(i - first);
    layers.push_back({str("hidden.", block), Role::kHidden, block, sizes.widths[i], in});
    in = sizes.widths[i];
  }
  const auto last = static_cast<int64_t>(layers.size());
  layers.push_back({"classifier", Role::kClassifier, last, sizes.classes, in});
  return layers;
}

SizeEstimate classifier_size(const ModelOptions& options, const QuantPlan& plan, int64_t batch,
                             Products products) {
  const std::vector<LayerInfo> layers = classifier_table(options);
  const bool bags = options.kind == ModelKind::kBagOfWords;
  // What a sample keeps for backward: the input, and of each layer its norm, quantized input,
  // product, activation and dropout mask; at the end the gradient of the widest.
  // (An integer product keeps codes: a quarter.)
  double floats = static_cast<double>(input_width(options) * (bags ? 4 : 1));
  int64_t widest = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerInfo& layer = layers[i];
    const bool integer =
        products == Products::kInteger && plan.phases.back().specs[i].has_integer_form();
    floats += (integer ? 1.25 : 2) * static_cast<double>(layer.in_features) +
              3 * static_cast<double>(layer.out_features);
    widest = std::max({widest, layer.in_features, layer.out_features});
  }
  const int64_t embedding = bags ? options.vocab_size * input_width(options) : 0;
  const double kept = 4.0 * static_cast<double>(batch) * (floats + static_cast<double>(widest));
  return size_of_layers(plan, embedding, vector_parameters(options, layers), kept, products);
}

}  // namespace setun
