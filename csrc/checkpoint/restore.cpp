// Copying saved tensors into live ones by name: all or nothing, every difference named at once.
#include <ATen/core/grad_mode.h>

#include <map>

#include "base/error.h"
#include "checkpoint/checkpoint.h"

namespace setun {
namespace {

std::string describe(const at::Tensor& tensor) {
  return setun::str(tensor.sizes(), " ", tensor.scalar_type());
}

std::map<std::string, at::Tensor> by_name(const std::vector<NamedTensor>& tensors) {
  std::map<std::string, at::Tensor> map;
  for (const NamedTensor& item : tensors) {
    SETUN_ASSERT(map.emplace(item.name, item.tensor).second, "tensor ", item.name, " stands twice");
  }
  return map;
}

}  // namespace

void restore_tensors(const std::vector<NamedTensor>& saved, const std::vector<NamedTensor>& live,
                     const std::string& what) {
  const std::map<std::string, at::Tensor> from = by_name(saved);
  const std::map<std::string, at::Tensor> to = by_name(live);
  std::string differences;
  for (const auto& [name, tensor] : to) {
    const auto found = from.find(name);
    if (found == from.end()) {
      differences +=
          setun::str("\n  ", name, ": not in the checkpoint, expected ", describe(tensor));
    } else if (found->second.sizes() != tensor.sizes() ||
               found->second.scalar_type() != tensor.scalar_type()) {
      differences += setun::str("\n  ", name, ": saved ", describe(found->second), ", expected ",
                                describe(tensor));
    }
  }
  for (const auto& [name, tensor] : from) {
    if (to.count(name) == 0) {
      differences += setun::str("\n  ", name, ": saved ", describe(tensor), ", not in this recipe");
    }
  }
  SETUN_CHECK(differences.empty(), "the checkpoint's ", what,
              " tensors do not fit this recipe:", differences,
              "\nUse the recipe the run was started with, or another run.output");
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : to) {
    tensor.copy_(from.at(name));
  }
}

}  // namespace setun
