// Instructions that each lane executes on its own: arithmetic, moves, branches, memory, copies.
#include <cstring>

#include "machine.h"
#include "values.h"

namespace ptxi {
namespace {

uint64_t special_value(int which, const Warp& warp, int lane) {
  const dim3& block = machine.block;
  const unsigned linear = warp.id * 32 + static_cast<unsigned>(lane);
  const uint3& id = warp.block->id;
  const unsigned values[12] = {linear % block.x,
                               linear / block.x % block.y,
                               linear / (block.x * block.y),
                               block.x,
                               block.y,
                               block.z,
                               id.x,
                               id.y,
                               id.z,
                               machine.grid.x,
                               machine.grid.y,
                               machine.grid.z};
  if (which < 12) {
    return values[which];
  }
  const uint32_t below = (1u << lane) - 1, self = 1u << lane;
  const uint32_t others[6] = {
      static_cast<uint32_t>(lane), warp.id, below, below | self, ~(below | self), ~below};
  return others[which - 12];
}

uint64_t symbol_value(const std::string& name, const Warp& warp, int lane) {
  const Kernel& kernel = *warp.block->kernel;
  if (const auto found = kernel.shared.find(name); found != kernel.shared.end()) {
    return found->second;
  }
  if (machine.module.dynamic_shared.count(name) != 0) {
    return warp.block->dynamic_offset;
  }
  if (const auto found = kernel.local.find(name); found != kernel.local.end()) {
    return reinterpret_cast<uint64_t>(warp.local.data()) +
           static_cast<size_t>(lane) * kernel.local_bytes + found->second;
  }
  if (const auto found = machine.module.globals.find(name); found != machine.module.globals.end()) {
    return reinterpret_cast<uint64_t>(found->second.data());
  }
  for (const Param& p : kernel.params) {
    if (p.name == name) {
      return reinterpret_cast<uint64_t>(machine.params) + p.offset;
    }
  }
  die("unknown symbol %s", name.c_str());
}

const Operand& element(const Operand& o, const Instruction& i, int q) {
  return i.vector > 1 ? o.parts[static_cast<size_t>(q)] : o;
}

// A register holds a loaded value extended to 32 bits, or to 64.
uint64_t loaded(Type type, const unsigned char* from) {
  uint64_t v = 0;
  std::memcpy(&v, from, static_cast<size_t>(bytes_of(type)));
  if (!is_signed(type)) {
    return v;
  }
  return cut(bytes_of(type) == 8 ? Type::kB64 : Type::kB32,
             static_cast<uint64_t>(extended(type, v)));
}

void load_param(Warp& warp, const Instruction& i, uint32_t lanes) {
  const auto bytes = static_cast<uint64_t>(bytes_of(i.type()));
  const auto first = reinterpret_cast<uint64_t>(machine.params);
  for_lanes(lanes, [&](int lane) {
    const uint64_t at = address(i.operands[1], warp, lane);
    if (at < first ||
        at + bytes * static_cast<uint64_t>(i.vector) > first + warp.block->kernel->param_bytes) {
      die("line %d: %s: outside the parameters", i.line, i.full.c_str());
    }
    for (int q = 0; q < i.vector; ++q) {
      write_register(warp, element(i.operands[0], i, q).reg, lane,
                     loaded(i.type(), reinterpret_cast<const unsigned char*>(at) +
                                          static_cast<uint64_t>(q) * bytes));
    }
  });
}

void access(Warp& warp, const Instruction& i, uint32_t lanes) {
  const bool store = i.code == Code::kStore;
  const Operand& memory = i.operands[store ? 0 : 1];
  const Operand& values = i.operands[store ? 1 : 0];
  const int bytes = bytes_of(i.type());
  uint64_t addresses[32] = {};
  for_lanes(lanes, [&](int lane) {
    addresses[lane] = address(memory, warp, lane);
    unsigned char* at =
        resolve(warp, addresses[lane], static_cast<size_t>(bytes * i.vector), store, i);
    for (int q = 0; q < i.vector; ++q) {
      const Operand& o = element(values, i, q);
      if (store) {
        const uint64_t v = value(o, warp, lane);
        std::memcpy(at + q * bytes, &v, static_cast<size_t>(bytes));
      } else {
        write_register(warp, o.reg, lane, loaded(i.type(), at + q * bytes));
      }
    }
  });
  count_access(i, i.space, addresses, lanes, bytes * i.vector);
}

void atomic(Warp& warp, const Instruction& i, uint32_t lanes) {
  const size_t first = i.name == "red" ? 0 : 1;
  const auto bytes = static_cast<size_t>(bytes_of(i.type()));
  for_lanes(lanes, [&](int lane) {
    unsigned char* at = resolve(warp, address(i.operands[first], warp, lane), bytes, true, i);
    uint64_t old = 0;
    std::memcpy(&old, at, bytes);
    const uint64_t next = i.alu(i, old, value(i.operands[first + 1], warp, lane), 0);
    std::memcpy(at, &next, bytes);
    if (first == 1) {
      write_register(warp, i.operands[0].reg, lane, old);
    }
  });
  count(i);
}

void set_predicate(Warp& warp, const Instruction& i, uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    bool r = compare(i, value(i.operands[1], warp, lane), value(i.operands[2], warp, lane));
    if (i.operands.size() > 3) {
      const bool other = ((value(i.operands[3], warp, lane) & 1) != 0) != i.operands[3].negated;
      if (i.has("and")) {
        r = r && other;
      } else if (i.has("or")) {
        r = r || other;
      } else {
        r = r != other;
      }
    }
    write_register(warp, i.operands[0].reg, lane, r ? 1 : 0);
  });
  count(i);
}

void move(Warp& warp, const Instruction& i, uint32_t lanes) {
  const Operand &to = i.operands[0], &from = i.operands[1];
  for_lanes(lanes, [&](int lane) {
    if (from.kind == Operand::kVector) {
      const int width = 8 * bytes_of(i.type()) / static_cast<int>(from.parts.size());
      uint64_t packed = 0;
      for (size_t q = 0; q < from.parts.size(); ++q) {
        packed |= (value(from.parts[q], warp, lane) & ((uint64_t{1} << width) - 1))
                  << (q * static_cast<size_t>(width));
      }
      write_register(warp, to.reg, lane, packed);
    } else if (to.kind == Operand::kVector) {
      const int width = 8 * bytes_of(i.type()) / static_cast<int>(to.parts.size());
      const uint64_t packed = value(from, warp, lane);
      for (size_t q = 0; q < to.parts.size(); ++q) {
        write_register(warp, to.parts[q].reg, lane,
                       (packed >> (q * static_cast<size_t>(width))) & ((uint64_t{1} << width) - 1));
      }
    } else {
      write_register(warp, to.reg, lane, cut(i.type(), value(from, warp, lane)));
    }
  });
  count(i);
}

void convert_address(Warp& warp, const Instruction& i, uint32_t lanes) {
  const auto base = i.has("shared") ? reinterpret_cast<uint64_t>(warp.block->shared) : 0;
  for_lanes(lanes, [&](int lane) {
    const uint64_t v = value(i.operands[1], warp, lane);
    write_register(warp, i.operands[0].reg, lane, i.has("to") ? v - base : v + base);
  });
}

uint64_t lop3(const Instruction& i, uint64_t a, uint64_t b, uint64_t c) {
  const auto table = static_cast<uint64_t>(i.operands[4].immediate);
  uint64_t r = 0;
  for (int q = 0; q < 32; ++q) {
    const uint64_t index = ((a >> q) & 1) << 2 | ((b >> q) & 1) << 1 | ((c >> q) & 1);
    r |= ((table >> index) & 1) << q;
  }
  return r;
}

uint64_t insert_bits(uint64_t from, uint64_t into, uint64_t position, uint64_t length) {
  uint64_t r = into;
  for (uint64_t q = 0; q < (length & 0xff) && (position & 0xff) + q < 32; ++q) {
    const uint64_t bit = uint64_t{1} << ((position & 0xff) + q);
    r = (r & ~bit) | (((from >> q) & 1) != 0 ? bit : 0);
  }
  return r;
}

void arithmetic(Warp& warp, const Instruction& i, uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    uint64_t in[4] = {};
    for (size_t q = 1; q < i.operands.size() && q <= 4; ++q) {
      in[q - 1] = value(i.operands[q], warp, lane);
    }
    uint64_t r = 0;
    if (i.code == Code::kLop3) {
      r = lop3(i, in[0], in[1], in[2]);
    } else if (i.code == Code::kBfi) {
      r = insert_bits(in[0], in[1], in[2], in[3]);
    } else {
      r = i.alu(i, in[0], in[1], in[2]);
    }
    write_register(warp, i.operands[0].reg, lane, r);
  });
  count(i);
}

void issue_copies(Warp& warp, const Instruction& i, uint32_t lanes) {
  uint64_t sources[32] = {};
  for_lanes(lanes, [&](int lane) {
    PendingCopy copy{address(i.operands[0], warp, lane), address(i.operands[1], warp, lane),
                     static_cast<int>(i.operands[2].immediate), 0};
    copy.source_bytes =
        i.operands.size() > 3 ? static_cast<int>(value(i.operands[3], warp, lane)) : copy.bytes;
    sources[lane] = copy.src;
    issue_copy(warp, lane, copy, i);
  });
  count_access(i, Space::kGlobal, sources, lanes, static_cast<int>(i.operands[2].immediate));
}

void finish(Warp& warp, uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    Lane& l = warp.lanes[lane];
    bool pending = !l.open.empty();
    for (const auto& group : l.groups) {
      pending = pending || !group.empty();
    }
    if (pending) {
      die("a thread exits with a cp.async not waited for");
    }
    l.done = true;
    --warp.block->live;
  });
}

void copy_group(Warp& warp, const Instruction& i, uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    Lane& l = warp.lanes[lane];
    if (i.code == Code::kWaitGroup) {
      complete_copies(warp, lane, static_cast<size_t>(i.operands[0].immediate), i);
    } else {
      l.groups.push_back(l.open);
      l.open.clear();
    }
  });
}

void branch(Warp& warp, const Instruction& i, uint32_t lanes, uint32_t taken, int pc) {
  for_lanes(lanes, [&](int lane) {
    warp.lanes[lane].pc = ((taken >> lane) & 1) != 0 ? i.target : pc + 1;
  });
  count(i);
}

// Instructions without any waiting; false for the others.
bool execute_alone(Warp& warp, const Instruction& i, uint32_t lanes) {
  switch (i.code) {
    case Code::kNothing:
      break;
    case Code::kTrap:
      if (lanes != 0) {
        die("line %d: trap", i.line);
      }
      break;
    case Code::kCommit:
    case Code::kWaitGroup:
      copy_group(warp, i, lanes);
      break;
    case Code::kCopy:
      issue_copies(warp, i, lanes);
      break;
    case Code::kLoad:
    case Code::kStore:
      if (i.space == Space::kParam) {
        load_param(warp, i, lanes);
      } else {
        access(warp, i, lanes);
      }
      break;
    case Code::kAtomic:
      atomic(warp, i, lanes);
      break;
    case Code::kCompare:
      set_predicate(warp, i, lanes);
      break;
    case Code::kMove:
      move(warp, i, lanes);
      break;
    case Code::kConvertAddress:
      convert_address(warp, i, lanes);
      break;
    case Code::kAlu:
    case Code::kLop3:
    case Code::kBfi:
      arithmetic(warp, i, lanes);
      break;
    case Code::kActiveMask:
      for_lanes(lanes, [&](int lane) { write_register(warp, i.operands[0].reg, lane, lanes); });
      break;
    default:
      return false;
  }
  return true;
}

}  // namespace

uint64_t value(const Operand& o, const Warp& warp, int lane) {
  switch (o.kind) {
    case Operand::kRegister:
      return warp.registers[static_cast<size_t>(o.reg) * 32 + static_cast<size_t>(lane)];
    case Operand::kImmediate:
      return static_cast<uint64_t>(o.immediate);
    case Operand::kSpecial:
      return special_value(o.reg, warp, lane);
    case Operand::kSymbol:
      return symbol_value(o.symbol, warp, lane);
    default:
      die("an operand of a kind that has no value");
  }
}

uint64_t address(const Operand& o, const Warp& warp, int lane) {
  uint64_t base = 0;
  if (!o.symbol.empty()) {
    base = symbol_value(o.symbol, warp, lane);
  } else if (!o.parts.empty()) {
    base = value(o.parts[0], warp, lane);
  }
  return base + static_cast<uint64_t>(o.immediate);
}

void advance(Warp& warp, uint32_t lanes, int pc) {
  for_lanes(lanes, [&](int lane) {
    warp.lanes[lane].pc = pc + 1;
    warp.lanes[lane].parked = false;
  });
}

void execute(Warp& warp, uint32_t lanes, int pc) {
  const Instruction& i = warp.block->kernel->code[static_cast<size_t>(pc)];
  uint32_t on = lanes;  // the lanes whose predicate holds
  if (i.predicate >= 0) {
    for_lanes(lanes, [&](int lane) {
      const uint64_t p =
          warp.registers[static_cast<size_t>(i.predicate) * 32 + static_cast<size_t>(lane)] & 1;
      on &= (p != 0) == i.predicate_negated ? ~(1u << lane) : ~0u;
    });
  }
  if (i.code == Code::kBranch) {
    branch(warp, i, lanes, on, pc);
    return;
  }
  if (execute_alone(warp, i, on)) {
    advance(warp, lanes, pc);
    return;
  }
  advance(warp, lanes & ~on, pc);
  if (i.code == Code::kReturn) {
    finish(warp, on);
  } else if (i.code == Code::kBarrier) {
    for_lanes(on, [&](int lane) { warp.lanes[lane].parked = true; });
  } else if (on != 0) {
    execute_collective(warp, i, on, pc);
  }
}

}  // namespace ptxi
