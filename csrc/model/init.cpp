// Initial values: gains 1, biases 0, matrices normal. Draw i of a parameter is a function of (seed,
// name, i) alone, so neither the order of parameters nor the thread count, the processor or another
// layer's size changes it.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <numbers>

#include "base/counter_rng.h"
#include "model/classifier.h"
#include "model/decoder_lm.h"
#include "model/layer_table.h"

namespace setun {
namespace {

// N(0, std): Box-Muller (1958) on the uniform pair (2i, 2i + 1), in double.
void fill_normal(const at::Tensor& tensor, uint64_t key, double std) {
  float* data = tensor.data_ptr<float>();
  const int64_t count = tensor.numel();
  at::parallel_for(0, (count + 1) / 2, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t pair = begin; pair < end; ++pair) {
      const double u = 1 - random_uniform(key, 2 * pair);  // in (0, 1]: its logarithm is finite
      const double radius = std * std::sqrt(-2 * std::log(u));
      const double angle = 2 * std::numbers::pi * random_uniform(key, 2 * pair + 1);
      data[2 * pair] = static_cast<float>(radius * std::cos(angle));
      if (2 * pair + 1 < count) {
        data[2 * pair + 1] = static_cast<float>(radius * std::sin(angle));
      }
    }
  });
}

double linear_std(const LayerInfo& layer, const ModelOptions& options) {
  switch (options.init.kind) {
    case InitKind::kNormal:
      return options.init.std;
    case InitKind::kResidualScaled:
      return layer.to_residual
                 ? options.init.std / std::sqrt(2.0 * static_cast<double>(options.layers))
                 : options.init.std;
    case InitKind::kFanIn:
      return 1 / std::sqrt(static_cast<double>(layer.in_features));
  }
  return options.init.std;
}

void fill_linears(const std::vector<NamedLinear>& linears, const ModelOptions& options,
                  uint64_t seed) {
  const std::vector<LayerInfo> table = layer_table(options);
  for (size_t i = 0; i < linears.size(); ++i) {
    fill_normal(linears[i].linear->weight, random_key(seed, linears[i].name + ".weight"),
                linear_std(table[i], options));
  }
}

}  // namespace

void initialise(DecoderLM& model, uint64_t seed) {
  const c10::NoGradGuard no_grad;
  for (const auto& item : model->named_parameters()) {
    if (item.value().dim() == 1) {
      item.value().fill_(1);
    }
  }
  fill_normal(model->embed->weight, random_key(seed, "embed.weight"), model->options.init.std);
  fill_linears(linear_layers(model), model->options, seed);
}

// Gains are made as ones and biases as zeros by their modules.
void initialise(Classifier& model, uint64_t seed) {
  const c10::NoGradGuard no_grad;
  if (model->embed) {
    fill_normal(model->embed->weight, random_key(seed, "embed.weight"), model->options.init.std);
  }
  fill_linears(named_linears(*model), model->options, seed);
}

}  // namespace setun
