#include "train/task.h"

namespace setun {

std::vector<NamedTensor> named_tensors(const torch::nn::Module& module) {
  std::vector<NamedTensor> tensors;
  for (const auto& item : module.named_parameters()) {
    tensors.push_back({item.key(), item.value()});
  }
  return tensors;
}

}  // namespace setun
