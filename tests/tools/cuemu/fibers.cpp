// Fibers: their stacks, switching between them, and which runnable one goes next.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#include "state.h"

#ifndef CUEMU_UCONTEXT
extern "C" void cuemu_switch(void** save_sp, void* new_sp);
__asm__(
    ".text\n.globl cuemu_switch\n.type cuemu_switch,@function\n"
    "cuemu_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n.size cuemu_switch,.-cuemu_switch\n");
#endif

namespace cuemu {

ThreadCtx* cur = nullptr;
Stats stats;
Launch launch;
Fiber main_fiber;
Fiber* me = nullptr;

namespace {

#if defined(CUEMU_ASAN) || defined(CUEMU_TSAN)
constexpr size_t kStack = 256 << 10;
#else
constexpr size_t kStack = 64 << 10;
#endif
constexpr size_t kPage = 4096;

auto& pool = *new std::vector<Fiber*>;  // idle fibers, kept for the process's life
std::vector<Fiber*> ready;
size_t ready_head = 0;
uint64_t random_state = 1;

void thread_exit() {
  Fiber* fiber = me;
  Block* block = fiber->block;
  if (!fiber->open.empty() || !fiber->groups.empty()) {
    fail("a thread exits with a cp.async not waited for");
  }
  fiber->done = true;
  --block->live;
  Warp& warp = block->warps[fiber->ctx.warp];
  warp.exited |= 1u << fiber->ctx.lane;
  for (const Meeting* meeting : warp.open) {
    if ((meeting->mask >> fiber->ctx.lane) & 1) {
      fail("%s:%d: warp collective with mask %08x names lane %u, which has exited", meeting->file,
           meeting->line, meeting->mask, fiber->ctx.lane);
    }
  }
  barrier_after_exit(block);
  release(&launch.finished);
  switch_to(&main_fiber, true);
  std::abort();
}

void entry() {
#if defined(CUEMU_ASAN)
  // The first switch tells where the main thread's stack lies.
  const bool known = main_fiber.stack != nullptr;
  __sanitizer_finish_switch_fiber(
      nullptr,
      known ? nullptr : const_cast<const void**>(reinterpret_cast<void**>(&main_fiber.stack)),
      known ? nullptr : &main_fiber.stack_size);
#endif
  acquire(&launch.started);
  launch.body(launch.closure);
  thread_exit();
}

void map_stack(Fiber* fiber) {
  void* p = mmap(nullptr, kStack + kPage, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    std::perror("cuemu: mmap of a fiber's stack");
    std::abort();
  }
  mprotect(p, kPage, PROT_NONE);  // guards against overflow
  fiber->stack = static_cast<char*>(p) + kPage;
  fiber->stack_size = kStack;
}

void unmap_stack(Fiber* fiber) {
  munmap(fiber->stack - kPage, kStack + kPage);
  fiber->stack = nullptr;
}

void set_entry(Fiber* fiber) {
#ifdef CUEMU_UCONTEXT
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = fiber->stack_size;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, entry, 0);
#else
  auto** top = reinterpret_cast<void**>(fiber->stack + fiber->stack_size);
  *--top = nullptr;  // rsp % 16 == 8 at entry
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) {
    *--top = nullptr;
  }
  fiber->sp = top;
#endif
}

}  // namespace

void reseed(uint64_t seed) { random_state = seed * 0x9E3779B97F4A7C15ull + 0x1234567; }

uint64_t next_random() {  // xorshift64*
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return random_state * 0x2545F4914F6CDD1Dull;
}

void make_ready(Fiber* fiber) { ready.push_back(fiber); }

void clear_ready() {
  ready.clear();
  ready_head = 0;
}

Fiber* take_ready() {
  const size_t count = ready.size() - ready_head;
  if (count == 0) {
    return nullptr;
  }
  Fiber* taken = nullptr;
  switch (config.order) {
    case Order::kRandom: {
      const size_t i = ready_head + static_cast<size_t>(((next_random() >> 32) * count) >> 32);
      taken = ready[i];
      ready[i] = ready.back();
      ready.pop_back();
      break;
    }
    case Order::kLifo:
      taken = ready.back();
      ready.pop_back();
      break;
    case Order::kFifo:
      taken = ready[ready_head++];
      if (ready_head == 4096) {  // drop what was taken
        ready.erase(ready.begin(), ready.begin() + 4096);
        ready_head = 0;
      }
      break;
  }
  if (ready.size() == ready_head) {
    clear_ready();
  }
  return taken;
}

void switch_to(Fiber* to, [[maybe_unused]] bool dying) {
  Fiber* from = me;
  if (to == from) {
    return;
  }
  ++stats.switches;
  me = to;
  cur = &to->ctx;
#if defined(CUEMU_ASAN)
  __sanitizer_start_switch_fiber(dying ? nullptr : &from->asan_stack, to->stack, to->stack_size);
#endif
#if defined(CUEMU_TSAN)
  __tsan_switch_to_fiber(to->tsan_fiber, 1);
#endif
#ifdef CUEMU_UCONTEXT
  swapcontext(&from->context, &to->context);
#else
  cuemu_switch(&from->sp, to->sp);
#endif
#if defined(CUEMU_ASAN)
  __sanitizer_finish_switch_fiber(from->asan_stack, nullptr, nullptr);
#endif
}

void wait() {
  Fiber* next = launch.failed ? nullptr : take_ready();
  switch_to(next != nullptr ? next : &main_fiber);
}

Fiber* new_fiber() {
  const Quiet quiet;
  Fiber* fiber = nullptr;
  if (pool.empty()) {
    fiber = new Fiber;
  } else {
    fiber = pool.back();
    pool.pop_back();
  }
#if defined(CUEMU_TSAN)
  if (fiber->stack != nullptr) {
    unmap_stack(fiber);  // a new CUDA thread must not inherit the old one's memory history
  }
  fiber->tsan_fiber = __tsan_create_fiber(0);
#endif
  if (fiber->stack == nullptr) {
    map_stack(fiber);
  }
  fiber->asan_stack = nullptr;
  fiber->done = false;
  fiber->what = nullptr;
  fiber->open.clear();
  fiber->groups.clear();
  set_entry(fiber);
  return fiber;
}

void retire_fiber(Fiber* fiber) {
#if defined(CUEMU_TSAN)
  __tsan_destroy_fiber(fiber->tsan_fiber);
#endif
  if (launch.failed) {  // its stack holds a suspended call
    unmap_stack(fiber);
    delete fiber;
  } else {
    pool.push_back(fiber);
  }
}

void adopt_main_thread() {
  me = &main_fiber;
  cur = &main_fiber.ctx;
  main_fiber.stack = nullptr;
#if defined(CUEMU_TSAN)
  main_fiber.tsan_fiber = __tsan_get_current_fiber();
#endif
}

void yield() {
  const Quiet quiet;
  make_ready(me);
  wait();
}

void yield_random() {
  if (config.order == Order::kRandom && (next_random() >> 60) == 0) {
    yield();
  }
}

}  // namespace cuemu
