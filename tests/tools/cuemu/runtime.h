// The emulator's interface to kernels and tests. Its scheduler is never sanitizer-instrumented, so
// everything that touches kernel-visible memory is inline in device.h, where ASan, UBSan and TSan
// see it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "types.h"

namespace cuemu {

struct ThreadCtx {
  uint3 tid, bid;
  unsigned lin, lane, warp;
};
extern ThreadCtx* cur;  // the CUDA thread that is running now
extern dim3 g_grid, g_block;

enum class Order { kFifo, kLifo, kRandom };

struct Config {
  Order order = Order::kRandom;  // which runnable CUDA thread goes next
  uint64_t seed = 1;
  int resident_blocks = 1;       // blocks interleaved at once
  unsigned char poison = 0xFF;   // what fresh shared and device memory holds
  bool cp_async_early = false;   // false: copy at wait_group (latest legal); true: at issue
  bool cp_async_both = false;    // both, for TSan: the write may land anywhere in between
  bool yield_at_atomics = true;  // random schedule points at atomics
};
extern Config config;

struct Stats {
  uint64_t threads = 0, blocks = 0, switches = 0, collectives = 0, barriers = 0;
};
extern Stats stats;

const char* last_message();  // why the last launch failed

// Another way to run a launch (ptxi): given the kernel's host address and its arguments. Returns a
// cudaError_t and says why.
using Arguments = std::vector<std::pair<const void*, size_t>>;
using Launcher = int (*)(dim3 grid, dim3 block, size_t smem, const void* kernel,
                         const Arguments& arguments, std::string* message);
void use_launcher(Launcher launcher);

enum class Op {
  kSyncWarp,
  kBallot,
  kAny,
  kAll,
  kReduce,
  kShfl,
  kShflUp,
  kShflDown,
  kShflXor,
  kMmaS8,
  kMmaS4,
  kLdMatrix
};

// One meeting of the lanes that a warp collective's mask names.
struct Meeting {
  uint32_t mask, arrived, left;
  Op op;
  const char* file;
  int line;
  uint32_t in[32][10];
  uint32_t out[32][4];
};
using Combine = void (*)(Meeting*);

// Where a collective stands in the kernel: default arguments of every collective.
#define CUEMU_LOC const char *file = __builtin_FILE(), int line = __builtin_LINE()

Meeting* warp_meet(uint32_t mask, Op op, const uint32_t* in, int n, Combine combine,
                   const char* file, int line);
void warp_leave(Meeting* meeting);
int block_barrier(int predicate, const char* file, int line);  // how many predicates were true
void* shared_static(const void* key, size_t bytes, size_t align);
void* shared_dynamic();
void yield_random();
void yield();
void fence();
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

struct Copy {
  void* dst;
  const void* src;
  int bytes, src_bytes;
};
bool cp_issue(const Copy& copy);  // true: the caller performs it now
void cp_commit();
bool cp_pop(int keep_groups, Copy* copy);  // the next copy that is due

// A launch goes to its stream, which runs it at once; a listener in the stream's place may keep it.
using Work = std::function<int()>;  // runs the grid; a cudaError_t
using Listener = int (*)(const void* stream, const Work& work);
void use_listener(Listener listener);
int submit(const void* stream, const Work& work);

using Body = void (*)(void* closure);
int run_grid(dim3 grid, dim3 block, size_t smem, Body body, void* closure, const void* kernel,
             const Arguments& arguments);

void* dev_malloc(size_t bytes);
void dev_free(void* p);
const std::map<uint64_t, size_t>& allocations();  // live device memory: address -> bytes

void combine_mma_s8(Meeting* meeting);
void combine_mma_s4(Meeting* meeting);

}  // namespace cuemu

#define threadIdx (::cuemu::cur->tid)
#define blockIdx (::cuemu::cur->bid)
#define blockDim (::cuemu::g_block)
#define gridDim (::cuemu::g_grid)
