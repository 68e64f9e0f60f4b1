// A launch: its blocks are started in grid order or a random one, a few resident at once, and run
// until all threads have returned, one fails, or none can run (a deadlock, which is described).
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "state.h"

namespace cuemu {

dim3 g_grid, g_block;
Config config;

namespace {

std::mutex launch_mutex;
Launcher other_launcher = nullptr;
Listener stream_listener = nullptr;

uint64_t count(const dim3& d) { return static_cast<uint64_t>(d.x) * d.y * d.z; }

bool valid(const dim3& grid, const dim3& block, size_t smem) {
  constexpr size_t kSharedBytes = 227 * 1024;  // per block on sm_90
  return count(block) > 0 && count(block) <= 1024 && block.z <= 64 && grid.y <= 65535 &&
         grid.z <= 65535 && count(grid) > 0 && smem <= kSharedBytes;
}

void start_block(uint3 id) {
  const Quiet quiet;
  auto* block = new Block;
  const auto threads = static_cast<unsigned>(count(g_block));
  block->id = id;
  block->live = static_cast<int>(threads);
  block->warps.resize((threads + 31) / 32);
  if (launch.dynamic_bytes > 0) {
    block->dynamic = poisoned(launch.dynamic_bytes, 128);
  }
  for (unsigned i = 0; i < threads; ++i) {
    Fiber* fiber = new_fiber();
    fiber->ctx.tid = {i % g_block.x, i / g_block.x % g_block.y, i / (g_block.x * g_block.y)};
    fiber->ctx.bid = id;
    fiber->ctx.lin = i;
    fiber->ctx.lane = i % 32;
    fiber->ctx.warp = i / 32;
    fiber->block = block;
    block->warps[i / 32].valid |= 1u << (i % 32);
    block->fibers.push_back(fiber);
    make_ready(fiber);
  }
  launch.active.push_back(block);
  ++stats.blocks;
  stats.threads += threads;
}

void end_block(Block* block) {
  const Quiet quiet;
  for (Fiber* fiber : block->fibers) {
    retire_fiber(fiber);
  }
  for (Warp& warp : block->warps) {
    for (Meeting* meeting : warp.open) {
      delete meeting;
    }
  }
  for (const auto& variable : block->statics) {
    std::free(variable.second);
  }
  std::free(block->dynamic);
  delete block;
}

void end_finished_blocks() {
  for (size_t i = 0; i < launch.active.size();) {
    if (launch.active[i]->live > 0) {
      ++i;
      continue;
    }
    end_block(launch.active[i]);
    launch.active[i] = launch.active.back();
    launch.active.pop_back();
  }
}

void describe_deadlock() {
  std::map<std::string, int> places;
  for (const Block* block : launch.active) {
    for (const Fiber* fiber : block->fibers) {
      if (fiber->done) {
        continue;
      }
      char place[512];
      std::snprintf(place, sizeof place, "  %s at %s:%d mask %08x",
                    fiber->what != nullptr ? fiber->what : "?",
                    fiber->file != nullptr ? fiber->file : "?", fiber->line, fiber->mask);
      ++places[place];
    }
  }
  launch.message = "deadlock: every remaining thread waits:\n";
  for (const auto& [place, threads] : places) {
    launch.message += place + " (" + std::to_string(threads) + " threads)\n";
  }
  launch.failed = true;
}

std::vector<uint32_t> block_order(uint64_t total) {
  std::vector<uint32_t> order(total);
  for (uint64_t i = 0; i < total; ++i) {
    order[i] = static_cast<uint32_t>(i);
  }
  for (uint64_t i = total; config.order == Order::kRandom && i > 1; --i) {
    std::swap(order[i - 1], order[next_random() % i]);
  }
  return order;
}

void run_blocks() {
  const std::vector<uint32_t> order = block_order(count(g_grid));
  size_t next = 0;
  while (!launch.failed) {
    while (next < order.size() &&
           launch.active.size() < static_cast<size_t>(config.resident_blocks)) {
      const uint32_t i = order[next++];
      start_block({i % g_grid.x, i / g_grid.x % g_grid.y, i / (g_grid.x * g_grid.y)});
    }
    if (launch.active.empty()) {
      return;
    }
    if (Fiber* fiber = take_ready(); fiber != nullptr) {
      switch_to(fiber);
    } else {
      describe_deadlock();
    }
    if (!launch.failed) {
      end_finished_blocks();
    }
  }
}

}  // namespace

void use_launcher(Launcher launcher) { other_launcher = launcher; }

void use_listener(Listener listener) { stream_listener = listener; }

int submit(const void* stream, const Work& work) {
  return stream_listener != nullptr ? stream_listener(stream, work) : work();
}

const char* last_message() { return launch.message.c_str(); }

void fail(const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  launch.message = text;
  launch.failed = true;
  if (me != nullptr && me != &main_fiber) {
    char where[160];
    std::snprintf(where, sizeof where, " [block (%u,%u,%u) thread (%u,%u,%u)]", cur->bid.x,
                  cur->bid.y, cur->bid.z, cur->tid.x, cur->tid.y, cur->tid.z);
    launch.message += where;
    switch_to(&main_fiber);  // never comes back
  }
  std::fprintf(stderr, "cuemu: %s\n", launch.message.c_str());
  std::abort();
}

int run_grid(dim3 grid, dim3 block, size_t smem, Body body, void* closure, const void* kernel,
             const Arguments& arguments) {
  const std::lock_guard<std::mutex> lock(launch_mutex);
  launch.message.clear();
  if (!valid(grid, block, smem)) {
    launch.message = "invalid launch configuration";
    return cudaErrorInvalidConfiguration;
  }
  if (other_launcher != nullptr) {
    return other_launcher(grid, block, smem, kernel, arguments, &launch.message);
  }
  g_grid = grid;
  g_block = block;
  launch.body = body;
  launch.closure = closure;
  launch.dynamic_bytes = smem;
  launch.failed = false;
  reseed(config.seed);
  adopt_main_thread();
  release(&launch.started);
  run_blocks();
  acquire(&launch.finished);
  if (!launch.failed) {
    return cudaSuccess;
  }
  for (Block* left : launch.active) {
    end_block(left);
  }
  launch.active.clear();
  clear_ready();
  return cudaErrorLaunchFailure;
}

}  // namespace cuemu
