#include "ops/kernel_calls.h"

#include <array>
#include <atomic>

namespace setun::ops {
namespace {

std::atomic<int64_t>& counter(Kernel kernel, CpuPath path) {
  constexpr std::size_t kKernels = EnumNames<Kernel>::table.size();
  constexpr std::size_t kPaths = EnumNames<CpuPath>::table.size();
  static std::array<std::array<std::atomic<int64_t>, kPaths>, kKernels> counters{};
  return counters[static_cast<std::size_t>(kernel)][static_cast<std::size_t>(path)];
}

}  // namespace

int64_t kernel_calls(Kernel kernel, CpuPath path) {
  return counter(kernel, path).load(std::memory_order_relaxed);
}

void count_kernel_call(Kernel kernel, CpuPath path) {
  counter(kernel, path).fetch_add(1, std::memory_order_relaxed);
}

}  // namespace setun::ops
