// Warp instructions: lanes park until every live lane of the member mask is there.
#include <cstring>

#include "machine.h"
#include "values.h"

namespace ptxi {
namespace {

uint32_t member_mask(const Warp& warp, const Instruction& i, int lane) {
  switch (i.code) {
    case Code::kShuffle:
      return static_cast<uint32_t>(value(i.operands[4], warp, lane));
    case Code::kVote:
    case Code::kReduce:
      return static_cast<uint32_t>(value(i.operands[2], warp, lane));
    case Code::kSyncWarp:
      return static_cast<uint32_t>(value(i.operands[0], warp, lane));
    default:
      return 0xffffffffu;
  }
}

// PTX ISA, shfl.sync: the source lane and whether it is inside the segment.
struct Source {
  int lane;
  bool inside;
};
Source shuffle_source(const Instruction& i, int lane, uint32_t by, uint32_t clamp_and_segment) {
  const auto self = static_cast<uint32_t>(lane);
  const uint32_t segment = (clamp_and_segment >> 8) & 31, clamp = clamp_and_segment & 31;
  const int last = static_cast<int>((self & segment) | (clamp & ~segment));
  const int b = static_cast<int>(by & 31);
  if (i.has("up")) {
    return {lane - b, lane - b >= last};
  }
  if (i.has("down")) {
    return {lane + b, lane + b <= last};
  }
  if (i.has("bfly")) {
    return {lane ^ b, (lane ^ b) <= last};
  }
  const int j = static_cast<int>((self & segment) | (static_cast<uint32_t>(b) & ~segment));
  return {j, j <= last};
}

void shuffle(Warp& warp, const Instruction& i, uint32_t lanes) {
  uint64_t in[32] = {};
  for_lanes(lanes, [&](int lane) { in[lane] = value(i.operands[1], warp, lane); });
  for_lanes(lanes, [&](int lane) {
    Source s = shuffle_source(i, lane, static_cast<uint32_t>(value(i.operands[2], warp, lane)),
                              static_cast<uint32_t>(value(i.operands[3], warp, lane)));
    s.lane = s.inside ? s.lane : lane;
    if (((lanes >> s.lane) & 1) == 0) {
      die("line %d: shuffle reads a lane outside its mask", i.line);
    }
    write_register(warp, i.operands[0].reg, lane, in[s.lane]);
    write_register(warp, i.operands[0].second, lane, s.inside ? 1 : 0);
  });
}

void vote(Warp& warp, const Instruction& i, uint32_t lanes) {
  uint32_t ballot = 0;
  for_lanes(lanes, [&](int lane) {
    const bool p = ((value(i.operands[1], warp, lane) & 1) != 0) != i.operands[1].negated;
    ballot |= p ? 1u << lane : 0;
  });
  uint64_t r = ballot;
  if (i.has("any")) {
    r = ballot != 0 ? 1 : 0;
  } else if (i.has("all")) {
    r = ballot == lanes ? 1 : 0;
  }
  for_lanes(lanes, [&](int lane) { write_register(warp, i.operands[0].reg, lane, r); });
}

void reduce(Warp& warp, const Instruction& i, uint32_t lanes) {
  uint64_t total = value(i.operands[1], warp, __builtin_ctz(lanes));
  for_lanes(lanes & (lanes - 1),
            [&](int lane) { total = i.alu(i, total, value(i.operands[1], warp, lane), 0); });
  for_lanes(lanes, [&](int lane) { write_register(warp, i.operands[0].reg, lane, total); });
}

void load_matrix(Warp& warp, const Instruction& i) {
  if (i.has("trans")) {
    die("line %d: %s is not implemented", i.line, i.full.c_str());
  }
  const Operand& to = i.operands[0];
  const int matrices = i.has("x4") ? 4 : (i.has("x2") ? 2 : 1);
  uint64_t rows[32] = {};
  uint64_t waves = 0;
  for (int lane = 0; lane < 8 * matrices; ++lane) {
    rows[lane] = address(i.operands[1], warp, lane);
    check_shared(*warp.block, warp, rows[lane], 16, false, i);
  }
  for (int m = 0; m < matrices; ++m) {
    waves += machine.counts != nullptr ? shared_waves(rows, 0xffu << (8 * m), 16) : 0;
    for (int lane = 0; lane < 32; ++lane) {
      uint32_t word = 0;
      std::memcpy(&word, warp.block->shared + rows[8 * m + lane / 4] + 4 * (lane % 4), 4);
      write_register(warp,
                     to.kind == Operand::kVector ? to.parts[static_cast<size_t>(m)].reg : to.reg,
                     lane, word);
    }
  }
  count(i, waves, static_cast<uint64_t>(matrices));
}

// D = A B + C. The fragment tables once more, as "which lane and register holds (row, column)".
template <int kBits>
void mma(Warp& warp, const Instruction& i) {
  constexpr int kPer = 32 / kBits, kHalf = 4 * kPer;
  const auto reg = [&](int operand, int index, int lane) {
    return static_cast<uint32_t>(value(
        i.operands[static_cast<size_t>(operand)].parts[static_cast<size_t>(index)], warp, lane));
  };
  const auto element = [&](int operand, int index, int lane, int at) {
    return static_cast<int32_t>(reg(operand, index, lane) << (32 - kBits - kBits * at)) >>
           (32 - kBits);
  };
  uint32_t out[16][8];
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      uint32_t sum = reg(3, row / 8 * 2 + column % 2, row % 8 * 4 + column / 2);
      for (int k = 0; k < 2 * kHalf; ++k) {
        const int half = k / kHalf, quad = k % kHalf / kPer, at = k % kPer;
        sum += static_cast<uint32_t>(element(1, half * 2 + row / 8, row % 8 * 4 + quad, at) *
                                     element(2, half, column * 4 + quad, at));
      }
      out[row][column] = sum;
    }
  }
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      write_register(warp, i.operands[0].parts[static_cast<size_t>(row / 8 * 2 + column % 2)].reg,
                     row % 8 * 4 + column / 2, out[row][column]);
    }
  }
}

void together(Warp& warp, const Instruction& i, uint32_t lanes) {
  switch (i.code) {
    case Code::kSyncWarp:
      break;
    case Code::kShuffle:
      shuffle(warp, i, lanes);
      break;
    case Code::kVote:
      vote(warp, i, lanes);
      break;
    case Code::kReduce:
      reduce(warp, i, lanes);
      break;
    case Code::kLoadMatrix:
      load_matrix(warp, i);
      return;  // counts itself
    case Code::kMmaS8:
      mma<8>(warp, i);
      break;
    case Code::kMmaS4:
      mma<4>(warp, i);
      break;
    default:
      die("line %d: unsupported %s", i.line, i.full.c_str());
  }
  count(i);
}

}  // namespace

void execute_collective(Warp& warp, const Instruction& i, uint32_t lanes, int pc) {
  const uint32_t members = member_mask(warp, i, __builtin_ctz(lanes)) & warp.valid;
  uint32_t here = lanes, exited = 0;
  for (int lane = 0; lane < 32; ++lane) {
    const Lane& l = warp.lanes[lane];
    exited |= l.done ? 1u << lane : 0;
    here |= !l.done && l.parked && l.pc == pc ? 1u << lane : 0;
  }
  if ((members & exited) != 0) {
    die("line %d: %s: member mask %08x names exited lanes", i.line, i.full.c_str(), members);
  }
  for_lanes(lanes, [&](int lane) { warp.lanes[lane].parked = true; });
  if ((here & members) == members) {
    together(warp, i, members);
    advance(warp, members, pc);
  }
}

}  // namespace ptxi
