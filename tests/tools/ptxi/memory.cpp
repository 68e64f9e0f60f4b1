// Checked memory: global accesses against live allocations, shared ones against a shadow of who
// wrote and read each byte since the last barrier.
#include <algorithm>
#include <cstring>

#include "machine.h"

namespace ptxi {

void check_global(uint64_t address, size_t bytes, const Instruction& i) {
  if (address % bytes != 0) {
    die("line %d: %s: address %llx misaligned for %zu bytes", i.line, i.full.c_str(),
        static_cast<unsigned long long>(address), bytes);
  }
  const auto& live = cuemu::allocations();
  auto next = live.upper_bound(address);
  if (next == live.begin() || (--next, address + bytes > next->first + next->second)) {
    die("line %d: %s: access to %llx (+%zu) is outside every allocation", i.line, i.full.c_str(),
        static_cast<unsigned long long>(address), bytes);
  }
}

namespace {

void check_byte(Block& block, const Warp& warp, uint64_t at, bool write, const Instruction& i) {
  Shadow& s = block.shadow[at];
  const auto me = static_cast<uint16_t>(warp.id);
  const auto byte = static_cast<unsigned long long>(at);
  if (s.in_flight != 0) {
    die("line %d: %s: touches shared byte %llu while a cp.async to it is in flight", i.line,
        i.full.c_str(), byte);
  }
  if (s.write_epoch == block.epoch && s.writer != me) {
    die("line %d: %s: race on shared byte %llu: warp %u %s what warp %u wrote since the last "
        "barrier",
        i.line, i.full.c_str(), byte, warp.id, write ? "overwrites" : "reads", s.writer);
  }
  if (write) {
    if (s.read_epoch == block.epoch && s.reader != me) {
      die("line %d: %s: race on shared byte %llu: warp %u overwrites what another warp read since "
          "the last barrier",
          i.line, i.full.c_str(), byte, warp.id);
    }
    s.writer = me;
    s.write_epoch = block.epoch;
    s.written = true;
    return;
  }
  if (!s.written) {
    die("line %d: %s: reads shared byte %llu, which nothing wrote", i.line, i.full.c_str(), byte);
  }
  s.reader = s.read_epoch == block.epoch && s.reader != me ? Shadow::kSeveral : me;
  s.read_epoch = block.epoch;
}

void check_shared_range(const Block& block, uint64_t address, size_t bytes, const Instruction& i) {
  if (address % bytes != 0) {
    die("line %d: %s: shared address %llu misaligned for %zu bytes", i.line, i.full.c_str(),
        static_cast<unsigned long long>(address), bytes);
  }
  if (address + bytes > block.shared_bytes) {
    die("line %d: %s: shared address %llu (+%zu) outside the block's %zu bytes", i.line,
        i.full.c_str(), static_cast<unsigned long long>(address), bytes, block.shared_bytes);
  }
}

Space space_of(const Warp& warp, uint64_t address) {
  const Block& block = *warp.block;
  const auto inside = [address](const unsigned char* begin, size_t bytes) {
    const auto first = reinterpret_cast<uint64_t>(begin);
    return address >= first && address < first + bytes;
  };
  if (inside(block.shared, block.shared_bytes)) {
    return Space::kShared;
  }
  return inside(warp.local.data(), warp.local.size()) ? Space::kLocal : Space::kGlobal;
}

}  // namespace

void check_shared(Block& block, const Warp& warp, uint64_t address, size_t bytes, bool write,
                  const Instruction& i) {
  check_shared_range(block, address, bytes, i);
  for (uint64_t at = address; at < address + bytes; ++at) {
    check_byte(block, warp, at, write, i);
  }
}

unsigned char* resolve(Warp& warp, uint64_t address, size_t bytes, bool write,
                       const Instruction& i) {
  Block& block = *warp.block;
  Space space = i.space;
  if (space == Space::kGeneric) {
    space = space_of(warp, address);
    if (space == Space::kShared) {
      address -= reinterpret_cast<uint64_t>(block.shared);
    }
  }
  if (space == Space::kShared) {
    if (i.code == Code::kAtomic) {  // atomics of several warps do not race with each other
      check_shared_range(block, address, bytes, i);
      std::for_each_n(block.shadow.begin() + static_cast<long>(address), bytes,
                      [](Shadow& s) { s.written = true; });
    } else {
      check_shared(block, warp, address, bytes, write, i);
    }
    return block.shared + address;
  }
  if (space == Space::kGlobal) {
    check_global(address, bytes, i);
  }
  return reinterpret_cast<unsigned char*>(address);
}

void issue_copy(Warp& warp, int lane, const PendingCopy& copy, const Instruction& i) {
  Block& block = *warp.block;
  const auto bytes = static_cast<size_t>(copy.bytes);
  if (copy.source_bytes > 0) {
    check_global(copy.src, bytes, i);
  }
  check_shared_range(block, copy.dst, bytes, i);
  for (uint64_t at = copy.dst; at < copy.dst + bytes; ++at) {
    const bool written = block.shadow[at].written;
    check_byte(block, warp, at, true, i);
    block.shadow[at].written = written;  // not before the copy is waited for
    ++block.shadow[at].in_flight;
  }
  warp.lanes[lane].open.push_back(copy);
}

void complete_copies(Warp& warp, int lane, size_t keep_groups, const Instruction& i) {
  Block& block = *warp.block;
  auto& groups = warp.lanes[lane].groups;
  while (groups.size() > keep_groups) {
    for (const PendingCopy& copy : groups.front()) {
      const auto bytes = static_cast<size_t>(copy.bytes);
      for (uint64_t at = copy.dst; at < copy.dst + bytes; ++at) {
        --block.shadow[at].in_flight;
      }
      check_shared(block, warp, copy.dst, bytes, true, i);
      std::memset(block.shared + copy.dst, 0, bytes);
      std::memcpy(block.shared + copy.dst, reinterpret_cast<const void*>(copy.src),
                  static_cast<size_t>(copy.source_bytes));
    }
    groups.erase(groups.begin());
  }
}

}  // namespace ptxi
