// A launch of PTX: blocks one after another, their warps in a random order, a few instructions at a
// time, until a barrier is reached by all live threads.
#include <dlfcn.h>

#include <algorithm>
#include <sstream>

#include "machine.h"

namespace ptxi {

Machine machine;

namespace {

std::map<std::string, Counts> all_counts;
bool counting = false;
uint64_t random_state = 1;

uint32_t next_random() {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return static_cast<uint32_t>(random_state >> 33);
}

bool waits(const Warp& warp, int lane) {
  return ((warp.valid >> lane) & 1) != 0 && !warp.lanes[lane].done;
}

// Runs the lowest program counter of the lanes that can run; false when none could.
bool step(Warp& warp, uint32_t budget) {
  for (uint32_t n = 0; n < budget; ++n) {
    int pc = 1 << 30;
    uint32_t lanes = 0;
    for (int lane = 0; lane < 32; ++lane) {
      const Lane& l = warp.lanes[lane];
      if (!waits(warp, lane) || l.parked || l.pc > pc) {
        continue;
      }
      lanes = l.pc < pc ? 0 : lanes;
      pc = l.pc;
      lanes |= 1u << lane;
    }
    if (lanes == 0) {
      return n > 0;
    }
    execute(warp, lanes, pc);
  }
  return true;
}

template <class F>
void for_live(Block& block, const F& body) {
  for (Warp& warp : block.warps) {
    for (int lane = 0; lane < 32; ++lane) {
      if (waits(warp, lane)) {
        body(warp, lane);
      }
    }
  }
}

// The barrier where every live thread waits; dies when they wait elsewhere.
const Instruction& common_barrier(Block& block) {
  const Instruction* barrier = nullptr;
  for_live(block, [&](Warp& warp, int lane) {
    const Instruction& i = block.kernel->code[static_cast<size_t>(warp.lanes[lane].pc)];
    if (i.code != Code::kBarrier) {
      die("deadlock: a warp waits at line %d (%s), its other member lanes do not come", i.line,
          i.full.c_str());
    }
    if (i.operands.size() > (i.has("red") ? 3u : 1u)) {
      die("line %d: a barrier with a thread count is not implemented", i.line);
    }
    if (barrier != nullptr && barrier != &i) {
      die("divergent barrier: lines %d and %d", barrier->line, i.line);
    }
    barrier = &i;
  });
  if (barrier == nullptr) {
    die("deadlock");
  }
  return *barrier;
}

void reduce_at_barrier(Block& block, const Instruction& i) {
  const Operand& predicate = i.operands.back();
  int count = 0;
  for_live(block, [&](Warp& warp, int lane) {
    count += ((value(predicate, warp, lane) & 1) != 0) != predicate.negated ? 1 : 0;
  });
  uint64_t r = static_cast<uint64_t>(count);
  if (i.has("and")) {
    r = count == block.live ? 1 : 0;
  } else if (i.has("or")) {
    r = count != 0 ? 1 : 0;
  }
  for_live(block, [&](Warp& warp, int lane) { write_register(warp, i.operands[0].reg, lane, r); });
}

void release_barrier(Block& block) {
  const Instruction& i = common_barrier(block);
  ++block.epoch;
  if (i.has("red")) {
    reduce_at_barrier(block, i);
  }
  for_live(block, [](Warp& warp, int lane) {
    warp.lanes[lane].parked = false;
    ++warp.lanes[lane].pc;
  });
  count(i);
}

void set_up(Block& block, size_t dynamic_bytes) {
  const Kernel& kernel = *block.kernel;
  block.dynamic_offset = (kernel.shared_bytes + 15) / 16 * 16;
  block.shared_bytes =
      dynamic_bytes > 0 ? block.dynamic_offset + dynamic_bytes : kernel.shared_bytes;
  block.storage.assign(block.shared_bytes + 256, 0xA5);
  block.shared = reinterpret_cast<unsigned char*>(
      (reinterpret_cast<uint64_t>(block.storage.data()) + 127) & ~uint64_t{127});
  block.shadow.resize(block.shared_bytes);
  const unsigned threads = machine.block.x * machine.block.y * machine.block.z;
  block.live = static_cast<int>(threads);
  block.warps.resize((threads + 31) / 32);
  for (unsigned w = 0; w < block.warps.size(); ++w) {
    Warp& warp = block.warps[w];
    const unsigned lanes = std::min(32u, threads - w * 32);
    warp.block = &block;
    warp.id = w;
    warp.valid = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warp.registers.assign(kernel.registers.size() * 32, 0xDEADBEEFDEADBEEFull);
    warp.local.assign(kernel.local_bytes * 32, 0xA5);
  }
}

void run_block(const Kernel& kernel, uint3 id, size_t dynamic_bytes) {
  Block block;
  block.kernel = &kernel;
  block.id = id;
  set_up(block, dynamic_bytes);
  std::vector<size_t> order(block.warps.size());
  for (size_t w = 0; w < order.size(); ++w) {
    order[w] = w;
  }
  while (block.live > 0) {
    for (size_t w = order.size(); w > 1; --w) {
      std::swap(order[w - 1], order[next_random() % w]);
    }
    bool moved = false;
    for (const size_t w : order) {
      moved = step(block.warps[w], 1 + next_random() % 256) || moved;
    }
    if (!moved && block.live > 0) {
      release_barrier(block);
    }
  }
}

std::vector<unsigned char> pack(const Kernel& kernel, const cuemu::Arguments& arguments) {
  std::vector<unsigned char> bytes(kernel.param_bytes + 16, 0);
  if (arguments.size() != kernel.params.size()) {
    die("%s takes %zu arguments, got %zu", kernel.name.c_str(), kernel.params.size(),
        arguments.size());
  }
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto& [data, size] = arguments[i];
    if (size != kernel.params[i].size) {
      die("argument %zu of %s has %zu bytes, PTX says %zu", i, kernel.name.c_str(), size,
          kernel.params[i].size);
    }
    std::copy_n(static_cast<const unsigned char*>(data), size,
                bytes.begin() + static_cast<long>(kernel.params[i].offset));
  }
  return bytes;
}

const Kernel& kernel_of(const void* host_address) {
  Dl_info info;
  if (dladdr(host_address, &info) == 0 || info.dli_sname == nullptr) {
    die("the kernel has no symbol name (link with -rdynamic)");
  }
  const auto found = machine.module.kernels.find(info.dli_sname);
  if (found == machine.module.kernels.end()) {
    die("no PTX entry %s", info.dli_sname);
  }
  return *found->second;
}

}  // namespace

int run_launch(dim3 grid, dim3 block, size_t smem, const void* host_kernel,
               const cuemu::Arguments& arguments, std::string* message) {
  try {
    const Kernel& kernel = kernel_of(host_kernel);
    const std::vector<unsigned char> params = pack(kernel, arguments);
    machine.grid = grid;
    machine.block = block;
    machine.params = params.data();
    machine.counts = counting ? &all_counts[kernel.name] : nullptr;
    random_state = cuemu::config.seed;
    for (unsigned z = 0; z < grid.z; ++z) {
      for (unsigned y = 0; y < grid.y; ++y) {
        for (unsigned x = 0; x < grid.x; ++x) {
          run_block(kernel, {x, y, z}, smem);
        }
      }
    }
    return cudaSuccess;
  } catch (const std::exception& e) {
    *message = std::string("ptxi: ") + e.what();
    return cudaErrorLaunchFailure;
  }
}

void use_files(const std::string& comma_separated_files) {
  std::stringstream names(comma_separated_files);
  std::string name;
  while (std::getline(names, name, ',')) {
    parse_file(name, machine.module);
  }
  cuemu::use_launcher(run_launch);
}

void count_instructions(bool on) { counting = on; }

std::map<std::string, Counts> take_counts() { return std::exchange(all_counts, {}); }

}  // namespace ptxi
