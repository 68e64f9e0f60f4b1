// ptxi: executes on a CPU the PTX that nvcc emitted, one warp in lockstep at a time, so that nvcc's
// front end and optimizer and the inline PTX of cuda/gpu.h are tested too. It replaces cuemu's way
// to run a launch: a kernel's host symbol name is its PTX entry name (link with -rdynamic).
// Checked on the way: global accesses against live allocations and alignment, shared accesses
// against the block's bytes, reads of bytes nobody wrote, races of warps between barriers, .sync
// operations whose lanes never meet, and data of a cp.async that was not waited for.
// Source: the PTX ISA. Deliberately absent: races inside a warp (it runs in lockstep), calls,
// textures, wgmma, TMA, mbarrier.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace ptxi {

// Loads PTX files and makes every later launch run them. Throws std::runtime_error on text it does
// not understand.
void use_files(const std::string& comma_separated_files);

// Warp instructions executed, and for memory instructions how many shared wavefronts or 32-byte
// sectors they took against the fewest possible.
struct Count {
  uint64_t executed = 0, waves = 0, ideal = 0;
};
using Counts = std::map<std::string, Count>;  // by full opcode, e.g. "st.global.v2.f32"

void count_instructions(bool on);
// Entry name -> counts since the last call.
std::map<std::string, Counts> take_counts();

}  // namespace ptxi
