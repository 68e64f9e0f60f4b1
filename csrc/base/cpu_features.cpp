#include "base/cpu_features.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include <atomic>
#include <fstream>
#include <string>

#include "base/error.h"

namespace setun {
namespace {

std::atomic<int>& forced() {
  static std::atomic<int> value{-1};
  return value;
}

CpuPath detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    return __builtin_cpu_supports("avx512vnni") ? CpuPath::kAvx512Vnni : CpuPath::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return CpuPath::kAvx2;
  }
#elif defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long kDotProduct = 1UL << 20;  // HWCAP_ASIMDDP
  if ((getauxval(AT_HWCAP) & kDotProduct) != 0) {
    return CpuPath::kNeonDot;
  }
#endif
  return CpuPath::kScalar;
}

}  // namespace

CpuPath best_cpu_path() {
  static const CpuPath best = detect();
  return best;
}

bool cpu_supports(CpuPath path) {
  const CpuPath best = best_cpu_path();
  return path == best || path == CpuPath::kScalar || (best != CpuPath::kNeonDot && path < best);
}

CpuPath cpu_path() {
  const int value = forced().load(std::memory_order_relaxed);
  return value < 0 ? best_cpu_path() : static_cast<CpuPath>(value);
}

void force_cpu_path(std::optional<CpuPath> path) {
  SETUN_CHECK(!path || cpu_supports(*path), "CPU path ", enum_name(path.value_or(CpuPath::kScalar)),
              " is not supported by this machine, whose best is ", enum_name(best_cpu_path()));
  forced() = path ? static_cast<int>(*path) : -1;
}

std::string cpu_model_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown processor";
}

}  // namespace setun
