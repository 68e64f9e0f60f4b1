// One PTX statement to an Instruction: operands, types, state space, what kind it is.
#include <array>
#include <cstdlib>
#include <sstream>

#include "module.h"

namespace ptxi {
namespace {

// The order is that of special_value() in execute.cpp.
constexpr std::array<const char*, 18> kSpecial = {
    "%tid.x",   "%tid.y",   "%tid.z",       "%ntid.x",      "%ntid.y",      "%ntid.z",
    "%ctaid.x", "%ctaid.y", "%ctaid.z",     "%nctaid.x",    "%nctaid.y",    "%nctaid.z",
    "%laneid",  "%warpid",  "%lanemask_lt", "%lanemask_le", "%lanemask_gt", "%lanemask_ge"};

Operand parse_address(const std::string& inside, const Kernel& kernel) {
  Operand o;
  o.kind = Operand::kMemory;
  const size_t plus = inside.find('+');
  const std::string base = trim(inside.substr(0, plus));
  if (plus != std::string::npos) {
    o.immediate = std::strtoll(inside.c_str() + plus + 1, nullptr, 0);
  }
  if (base[0] == '%') {
    o.parts.push_back(parse_operand(base, kernel));
  } else if (base[0] >= '0' && base[0] <= '9') {
    o.immediate += std::strtoll(base.c_str(), nullptr, 0);
  } else {
    o.symbol = base;
  }
  return o;
}

Operand parse_register(const std::string& text, const Kernel& kernel) {
  const size_t bar = text.find('|');
  if (bar != std::string::npos) {
    Operand o = parse_operand(text.substr(0, bar), kernel);
    o.second = parse_operand(text.substr(bar + 1), kernel).reg;
    return o;
  }
  Operand o;
  const auto known = kernel.registers.find(text);
  if (known != kernel.registers.end()) {
    o.kind = Operand::kRegister;
    o.reg = known->second;
    return o;
  }
  o.kind = Operand::kSpecial;
  for (size_t i = 0; i < kSpecial.size(); ++i) {
    if (text == kSpecial[i]) {
      o.reg = static_cast<int>(i);
      return o;
    }
  }
  die("unknown register %s", text.c_str());
}

Operand parse_number(const std::string& text) {
  Operand o;
  const bool float_bits = text.size() > 2 && text[0] == '0' &&
                          (text[1] == 'f' || text[1] == 'F' || text[1] == 'd' || text[1] == 'D');
  if (float_bits) {
    o.immediate = static_cast<int64_t>(std::strtoull(text.c_str() + 2, nullptr, 16));
  } else if (text[0] == '-') {
    o.immediate = std::strtoll(text.c_str(), nullptr, 0);
  } else {
    o.immediate = static_cast<int64_t>(std::strtoull(text.c_str(), nullptr, 0));
  }
  return o;
}

Code barrier_code(const Instruction& i) {
  if (i.has("warp")) {
    return Code::kSyncWarp;
  }
  if (i.has("sync") || i.has("red")) {
    return Code::kBarrier;
  }
  die("unsupported barrier %s", i.full.c_str());
}

Code mma_code(const Instruction& i) {
  if (i.full.find("m16n8k32.row.col.s32.s8.s8.s32") != std::string::npos) {
    return Code::kMmaS8;
  }
  if (i.full.find("m16n8k64.row.col.s32.s4.s4.s32") != std::string::npos) {
    return Code::kMmaS4;
  }
  die("unsupported %s", i.full.c_str());
}

Code copy_code(const Instruction& i) {
  if (!i.has("async") || i.has("bulk") || i.has("wait_all")) {
    die("unsupported %s", i.full.c_str());
  }
  if (i.has("commit_group")) {
    return Code::kCommit;
  }
  return i.has("wait_group") ? Code::kWaitGroup : Code::kCopy;
}

Code code_of(const Instruction& i) {
  static const std::map<std::string, Code> kCodes = {{"bra", Code::kBranch},
                                                     {"ret", Code::kReturn},
                                                     {"exit", Code::kReturn},
                                                     {"ld", Code::kLoad},
                                                     {"st", Code::kStore},
                                                     {"shfl", Code::kShuffle},
                                                     {"vote", Code::kVote},
                                                     {"redux", Code::kReduce},
                                                     {"activemask", Code::kActiveMask},
                                                     {"ldmatrix", Code::kLoadMatrix},
                                                     {"atom", Code::kAtomic},
                                                     {"red", Code::kAtomic},
                                                     {"membar", Code::kNothing},
                                                     {"fence", Code::kNothing},
                                                     {"setp", Code::kCompare},
                                                     {"mov", Code::kMove},
                                                     {"cvta", Code::kConvertAddress},
                                                     {"trap", Code::kTrap},
                                                     {"lop3", Code::kLop3},
                                                     {"bfi", Code::kBfi}};
  const auto known = kCodes.find(i.name);
  if (known != kCodes.end()) {
    return known->second;
  }
  if (i.name == "bar" || i.name == "barrier") {
    return barrier_code(i);
  }
  if (i.name == "mma") {
    return mma_code(i);
  }
  return i.name == "cp" ? copy_code(i) : Code::kAlu;
}

Space space_of(const Instruction& i) {
  if (i.has("global")) {
    return Space::kGlobal;
  }
  if (i.has("shared") || i.has("shared::cta")) {
    return Space::kShared;
  }
  if (i.has("local")) {
    return Space::kLocal;
  }
  if (i.has("param")) {
    return Space::kParam;
  }
  return i.has("const") ? Space::kConst : Space::kGeneric;
}

void classify(Instruction& i) {
  for (const std::string& m : i.modifiers) {
    if (type_of(m) != Type::kNone) {
      i.types.push_back(type_of(m));
    }
    if (m.size() == 2 && m[0] == 'v') {
      i.vector = m[1] - '0';
    }
  }
  i.code = code_of(i);
  i.space = space_of(i);
  if (i.code == Code::kCompare) {
    i.compare = i.modifiers[0];
  }
  if (i.code == Code::kAlu || i.code == Code::kAtomic || i.code == Code::kReduce) {
    i.alu = find_alu(i);
  }
}

}  // namespace

Operand parse_operand(const std::string& text, const Kernel& kernel) {
  Operand o;
  switch (text[0]) {
    case '{':
      o.kind = Operand::kVector;
      for (const std::string& part : split_list(text.substr(1, text.rfind('}') - 1))) {
        o.parts.push_back(parse_operand(part, kernel));
      }
      return o;
    case '[':
      return parse_address(trim(text.substr(1, text.rfind(']') - 1)), kernel);
    case '!':
      o = parse_operand(text.substr(1), kernel);
      o.negated = true;
      return o;
    case '%':
      return parse_register(text, kernel);
    case '_':
      if (text == "_") {
        o.kind = Operand::kRegister;
        return o;
      }
      break;
    case '$':
      o.kind = Operand::kLabel;
      o.symbol = text;
      return o;
    default:
      break;
  }
  if ((text[0] >= '0' && text[0] <= '9') || text[0] == '-') {
    return parse_number(text);
  }
  o.kind = Operand::kSymbol;
  o.symbol = text;
  return o;
}

Instruction parse_instruction(const std::string& statement, int line, const Kernel& kernel) {
  Instruction i;
  i.line = line;
  std::string s = statement;
  if (s[0] == '@') {
    const size_t space = s.find_first_of(" \t");
    i.predicate_negated = s[1] == '!';
    i.predicate = kernel.registers.at(
        s.substr(i.predicate_negated ? 2 : 1, space - (i.predicate_negated ? 2 : 1)));
    s = trim(s.substr(space));
  }
  const size_t space = s.find_first_of(" \t");
  i.full = s.substr(0, space);
  std::stringstream words(i.full);
  std::string word;
  std::getline(words, i.name, '.');
  while (std::getline(words, word, '.')) {
    i.modifiers.push_back(word);
  }
  if (space != std::string::npos) {
    for (const std::string& o : split_list(s.substr(space))) {
      i.operands.push_back(parse_operand(o, kernel));
    }
  }
  classify(i);
  return i;
}

}  // namespace ptxi
