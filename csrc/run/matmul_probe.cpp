#include "run/matmul_probe.h"

#include <ATen/Parallel.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace setun::run {

double matmul_flops_per_second(int64_t threads) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kSize = 512;
  constexpr std::chrono::milliseconds kDuration{200};
  constexpr double kOperations = 2.0 * kSize * kSize * kSize;
  at::set_num_threads(static_cast<int>(std::max<int64_t>(threads, 1)));
  const at::Tensor a = at::ones({kSize, kSize}), b = at::ones({kSize, kSize});
  at::mm(a, b);  // threads and buffers are made here
  std::vector<double> seconds;
  for (const auto end = Clock::now() + kDuration; seconds.size() < 3 || Clock::now() < end;) {
    const auto start = Clock::now();
    at::mm(a, b);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return kOperations / *middle;
}

}  // namespace setun::run
