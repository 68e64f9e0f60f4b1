// The state of a launch that runs PTX: lanes, warps, blocks with shadow memory, counters.
#pragma once

#include <vector>

#include "../cuemu/host.h"
#include "module.h"
#include "ptxi.h"

namespace ptxi {

struct PendingCopy {
  uint64_t dst, src;
  int bytes, source_bytes;
};

struct Lane {
  int pc = 0;
  bool done = false, parked = false;  // parked: at a .sync operation or barrier
  std::vector<PendingCopy> open;
  std::vector<std::vector<PendingCopy>> groups;
};

// What is known of one byte of shared memory; epochs count the block's barriers.
struct Shadow {
  static constexpr uint16_t kNobody = 0xffff, kSeveral = 0xfffe;
  uint16_t writer = kNobody, reader = kNobody;
  uint32_t write_epoch = 0, read_epoch = 0;
  bool written = false;
  uint8_t in_flight = 0;
};

struct Block;

struct Warp {
  Block* block;
  unsigned id;
  uint32_t valid = 0;
  Lane lanes[32];
  std::vector<uint64_t> registers;   // [register][lane]
  std::vector<unsigned char> local;  // [lane][bytes]
};

struct Block {
  const Kernel* kernel;
  uint3 id;
  std::vector<Warp> warps;
  std::vector<unsigned char> storage;
  unsigned char* shared = nullptr;
  size_t shared_bytes = 0, dynamic_offset = 0;
  std::vector<Shadow> shadow;
  uint32_t epoch = 1;
  int live = 0;
};

struct Machine {
  Module module;
  dim3 grid, block;
  const unsigned char* params = nullptr;
  Counts* counts = nullptr;  // nullptr: not counting
};
extern Machine machine;

template <class F>
void for_lanes(uint32_t lanes, F&& body) {
  for (uint32_t left = lanes; left != 0; left &= left - 1) {
    body(__builtin_ctz(left));
  }
}

// values of operands (execute.cpp)
uint64_t value(const Operand& o, const Warp& warp, int lane);
uint64_t address(const Operand& o, const Warp& warp, int lane);
inline void write_register(Warp& warp, int reg, int lane, uint64_t v) {
  if (reg >= 0) {
    warp.registers[static_cast<size_t>(reg) * 32 + static_cast<size_t>(lane)] = v;
  }
}

// memory.cpp
void check_global(uint64_t address, size_t bytes, const Instruction& i);
void check_shared(Block& block, const Warp& warp, uint64_t address, size_t bytes, bool write,
                  const Instruction& i);
// Where an access really goes; checks it.
unsigned char* resolve(Warp& warp, uint64_t address, size_t bytes, bool write,
                       const Instruction& i);
void issue_copy(Warp& warp, int lane, const PendingCopy& copy, const Instruction& i);
void complete_copies(Warp& warp, int lane, size_t keep_groups, const Instruction& i);

// count.cpp
void count(const Instruction& i, uint64_t waves = 0, uint64_t ideal = 0);
void count_access(const Instruction& i, Space space, const uint64_t* addresses, uint32_t lanes,
                  int bytes);
uint64_t shared_waves(const uint64_t* addresses, uint32_t lanes, int bytes);

// execute.cpp: runs the instruction at pc for the lanes of a mask. A lane that must wait for others
// stays parked there.
void execute(Warp& warp, uint32_t lanes, int pc);
void advance(Warp& warp, uint32_t lanes, int pc);
// collectives.cpp
void execute_collective(Warp& warp, const Instruction& i, uint32_t lanes, int pc);

// run.cpp
int run_launch(dim3 grid, dim3 block, size_t smem, const void* kernel,
               const cuemu::Arguments& arguments, std::string* message);

}  // namespace ptxi
