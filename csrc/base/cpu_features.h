// What the processor can do, read once. Chooses between builds of the same kernel source; never
// changes a result.
#pragma once

#include <optional>
#include <string>

#include "base/enum_names.h"

namespace setun {

// x86-64, each path with what the ones before it need: kAvx512 is F, BW, VL and DQ; kAvx512Vnni
// adds the 8-bit dot product, which only products of codes use. AArch64: kNeonDot, NEON with dot
// products.
enum class CpuPath { kScalar, kAvx2, kAvx512, kAvx512Vnni, kNeonDot };

template <>
struct EnumNames<CpuPath> {
  static constexpr auto table = enum_table<CpuPath>({{CpuPath::kScalar, "scalar"},
                                                     {CpuPath::kAvx2, "avx2"},
                                                     {CpuPath::kAvx512, "avx512"},
                                                     {CpuPath::kAvx512Vnni, "avx512_vnni"},
                                                     {CpuPath::kNeonDot, "neon_dot"}});
};

// The best path this machine supports.
CpuPath best_cpu_path();
bool cpu_supports(CpuPath path);
// The path in use: the best, unless tests forced another. Forcing one the machine lacks throws
// Error.
CpuPath cpu_path();
void force_cpu_path(std::optional<CpuPath> path);
// "AMD EPYC 9755" from the processor itself.
std::string cpu_model_name();

}  // namespace setun
