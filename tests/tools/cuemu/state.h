// The emulator's own state: blocks, warps, fibers, the queue of runnable threads. Only the
// runtime's sources include this.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cuemu.h"
#include "sanitizers.h"
#if !defined(__x86_64__)
#include <ucontext.h>
#define CUEMU_UCONTEXT 1
#endif

namespace cuemu {

struct Block;

struct Fiber {
  ThreadCtx ctx;
  Block* block = nullptr;
#ifdef CUEMU_UCONTEXT
  ucontext_t context;
#else
  void* sp = nullptr;
#endif
  char* stack = nullptr;
  size_t stack_size = 0;
  void* asan_stack = nullptr;
  void* tsan_fiber = nullptr;
  bool done = false;
  // what it waits for
  const char* what = nullptr;
  const char* file = nullptr;
  int line = 0;
  uint32_t mask = 0;
  // cp.async: issued, and committed in groups
  std::vector<Copy> open;
  std::vector<std::vector<Copy>> groups;
};

struct Barrier {
  int arrived = 0, predicates = 0, result = 0, generation = 0;
  std::vector<Fiber*> waiting;
  char token[2];
};

struct Warp {
  uint32_t exited = 0, valid = 0;
  std::vector<Meeting*> open;
};

struct Block {
  uint3 id;
  int live = 0;
  Barrier barrier;
  std::vector<Warp> warps;
  std::map<const void*, void*> statics;  // shared variables by their key
  void* dynamic = nullptr;
  std::vector<Fiber*> fibers;
};

struct Launch {
  Body body = nullptr;
  void* closure = nullptr;
  size_t dynamic_bytes = 0;
  bool failed = false;
  std::string message;
  std::vector<Block*> active;
  [[maybe_unused]] char started = 0, finished = 0;  // TSan tokens
};
extern Launch launch;
extern Fiber main_fiber;
extern Fiber* me;  // the running fiber

// fibers.cpp
void reseed(uint64_t seed);
uint64_t next_random();
void make_ready(Fiber* fiber);
Fiber* take_ready();  // nullptr when nobody can run
void clear_ready();
void switch_to(Fiber* to, bool dying = false);
void wait();  // runs others until someone makes the caller ready
Fiber* new_fiber();
void retire_fiber(Fiber* fiber);
void adopt_main_thread();

// sync.cpp
void barrier_after_exit(Block* block);

// memory.cpp
void* poisoned(size_t bytes, size_t align);

}  // namespace cuemu
