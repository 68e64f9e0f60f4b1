// Counters: what each opcode was executed, and how well memory instructions coalesce. Model: shared
// memory serves 32 banks of 4 bytes in phases of at most 128 bytes; global memory moves 32-byte
// sectors.
#include <algorithm>
#include <set>

#include "machine.h"

namespace ptxi {
namespace {

int lanes_per_phase(int bytes) {
  if (bytes <= 4) {
    return 32;
  }
  return bytes == 8 ? 16 : 8;
}

uint32_t phase_lanes(uint32_t lanes, int base, int per) {
  return per == 32 ? lanes : lanes & (((1u << per) - 1) << base);
}

}  // namespace

uint64_t shared_waves(const uint64_t* addresses, uint32_t lanes, int bytes) {
  uint64_t total = 0;
  const int per = lanes_per_phase(bytes);
  for (int base = 0; base < 32; base += per) {
    std::set<uint64_t> words[32];
    for_lanes(phase_lanes(lanes, base, per), [&](int lane) {
      for (int q = 0; q < std::max(1, bytes / 4); ++q) {
        const uint64_t word = addresses[lane] / 4 + static_cast<uint64_t>(q);
        words[word % 32].insert(word);
      }
    });
    size_t worst = 0;
    for (const auto& bank : words) {
      worst = std::max(worst, bank.size());
    }
    total += worst;
  }
  return total;
}

void count(const Instruction& i, uint64_t waves, uint64_t ideal) {
  if (machine.counts == nullptr) {
    return;
  }
  Count& c = (*machine.counts)[i.full];
  ++c.executed;
  c.waves += waves;
  c.ideal += ideal;
}

void count_access(const Instruction& i, Space space, const uint64_t* addresses, uint32_t lanes,
                  int bytes) {
  if (machine.counts == nullptr || lanes == 0) {
    return;
  }
  if (space == Space::kShared) {
    const int per = lanes_per_phase(bytes);
    uint64_t ideal = 0;
    for (int base = 0; base < 32; base += per) {
      ideal += phase_lanes(lanes, base, per) != 0 ? 1 : 0;
    }
    count(i, shared_waves(addresses, lanes, bytes), ideal);
    return;
  }
  if (space != Space::kGlobal) {
    count(i);
    return;
  }
  std::set<uint64_t> sectors, touched;
  for_lanes(lanes, [&](int lane) {
    for (uint64_t at = addresses[lane]; at < addresses[lane] + static_cast<uint64_t>(bytes); ++at) {
      sectors.insert(at / 32);
      touched.insert(at);
    }
  });
  count(i, sectors.size(), (touched.size() + 31) / 32);
}

}  // namespace ptxi
