// `setun inspect`: a checkpoint's tensors, code histograms and packed size. Reads files only;
// builds no model.
#include <ATen/core/Tensor.h>
#include <ATen/ops/eq.h>

#include <iomanip>
#include <iostream>
#include <map>

#include "base/text.h"
#include "config/config.h"
#include "formats/safetensors.h"
#include "model/layer_table.h"
#include "quant/fake_quantize.h"
#include "run/plan.h"
#include "run/run.h"
#include "run/run_folder.h"

namespace setun::run {
namespace {

std::string shape_text(c10::IntArrayRef shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

// Prints " -1 31.2 %  0 ... scale ..." for a weight with a quantizer; returns its packed bytes.
double print_codes(const at::Tensor& weight, const LinearSpec& spec, uint64_t key) {
  const QuantizedWeight q = quantize_weight(weight, spec, key);
  const auto total = static_cast<double>(q.codes.numel());
  std::cout << std::fixed << std::setprecision(1);
  for (const int code : {-1, 0, 1}) {
    const double share = q.codes.eq(code).sum().item<double>() / total;
    std::cout << "  " << (code > 0 ? "+" : "") << code << " " << 100 * share << " %";
  }
  std::cout << "  scale " << std::defaultfloat << std::setprecision(6)
            << q.scale.mean().item<double>();
  return total * stored_bits(spec.weight) / 8 + 4 * static_cast<double>(q.scale.numel());
}

// What the codes are made of: of projected weights, the latent that the checkpoint keeps beside the
// optimizer's moments.
const at::Tensor& latent_of(const NamedTensor& weight, const Checkpoint& checkpoint) {
  for (const NamedTensor& item : checkpoint.optimizer) {
    if (item.name == weight.name + ".latent") {
      return item.tensor;
    }
  }
  return weight.tensor;
}

void inspect_safetensors(const fs::path& path) {
  const formats::SafetensorsFile file(path);
  double bytes = 0;
  for (const formats::TensorEntry& entry : file.tensors()) {
    std::cout << std::left << std::setw(36) << entry.name << formats::dtype_name(entry.dtype) << " "
              << shape_text(entry.shape) << "\n";
    bytes += static_cast<double>(entry.bytes.size());
  }
  std::cout << file.tensors().size() << " tensors, " << human_bytes(bytes) << "\n";
}

}  // namespace

void inspect(const std::string& path) {
  if (fs::is_regular_file(path)) {
    inspect_safetensors(path);
    return;
  }
  const LoadedCheckpoint loaded = find_checkpoint(path);
  const Checkpoint& checkpoint = loaded.checkpoint;
  const RunConfig config =
      config::parse_resolved(checkpoint.config_yaml, loaded.path.string() + ": stored recipe");
  const QuantPlan plan = make_plan(config.model, config);
  const auto& specs = plan.phases[static_cast<std::size_t>(
                                      plan.phase_at(std::max<int64_t>(checkpoint.step - 1, 0)))]
                          .specs;
  StepState state;
  state.rng_key = step_key(static_cast<uint64_t>(config.run.seed), checkpoint.step);
  std::map<std::string, int64_t> quantized;
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    if (specs[i].weight.scheme != WeightScheme::kNone) {
      quantized[plan.layers[i].name + ".weight"] = static_cast<int64_t>(i);
    }
  }
  std::cout << loaded.path.string() << ": step " << checkpoint.step << ", phase "
            << checkpoint.phase << ", " << thousands(checkpoint.tokens) << " " << unit_name(config)
            << "s\n";
  double stored = 0, packed = 0;
  int64_t parameters = 0;
  for (const NamedTensor& item : checkpoint.model) {
    std::cout << std::left << std::setw(32) << item.name << std::setw(14)
              << shape_text(item.tensor.sizes());
    parameters += item.tensor.numel();
    stored += static_cast<double>(item.tensor.nbytes());
    const auto layer = quantized.find(item.name);
    packed += layer == quantized.end() ? 2 * static_cast<double>(item.tensor.numel())
                                       : print_codes(latent_of(item, checkpoint),
                                                     specs[static_cast<std::size_t>(layer->second)],
                                                     draws_key(state, layer->second));
    std::cout << "\n";
  }
  std::cout << thousands(parameters) << " parameters, " << human_bytes(stored)
            << " stored, packed size " << human_bytes(packed)
            << " (2 bits a ternary weight, 1 a binary, 2 bytes any other)\n";
  if (plan.attention.quantizes()) {
    std::cout << "kv cache " << thousands(kv_cache_bytes(config.model, plan.attention))
              << " bytes a token, packed, from step " << plan.attention_from << " on\n";
  }
}

}  // namespace setun::run
