// A parsed PTX module: kernels, their declarations, decoded instructions.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ptxi {

[[noreturn]] void die(const char* format, ...) __attribute__((format(printf, 1, 2)));

enum class Type : uint8_t {
  kNone,
  kPred,
  kB8,
  kB16,
  kB32,
  kB64,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kF16,
  kBf16,
  kBf16x2,
  kF32,
  kF64
};
Type type_of(const std::string& name);
int bytes_of(Type type);
bool is_signed(Type type);
bool is_float(Type type);

enum class Space : uint8_t { kGeneric, kGlobal, kShared, kLocal, kParam, kConst };

struct Operand {
  enum Kind : uint8_t { kRegister, kImmediate, kSpecial, kMemory, kVector, kLabel, kSymbol };
  Kind kind = kImmediate;
  int reg = -1;                // register or special register; -1 is the sink "_"
  int second = -1;             // the p of "d|p"
  bool negated = false;        // "!p"
  int64_t immediate = 0;       // or the offset of [base + offset]
  std::vector<Operand> parts;  // of a vector; the base register of an address
  std::string symbol;
};

enum class Code : uint8_t {
  kAlu,
  kLop3,
  kBfi,
  kBranch,
  kReturn,
  kLoad,
  kStore,
  kBarrier,
  kShuffle,
  kVote,
  kReduce,
  kMmaS8,
  kMmaS4,
  kLoadMatrix,
  kAtomic,
  kCopy,
  kCommit,
  kWaitGroup,
  kNothing,
  kCompare,
  kMove,
  kConvertAddress,
  kSyncWarp,
  kActiveMask,
  kTrap
};

struct Instruction;
using Alu = uint64_t (*)(const Instruction& i, uint64_t a, uint64_t b, uint64_t c);

struct Instruction {
  std::string name, full;  // "ld", "ld.global.v4.f32"
  std::vector<std::string> modifiers;
  std::vector<Operand> operands;
  std::vector<Type> types;
  int line = 0;
  int predicate = -1;
  bool predicate_negated = false;
  Code code = Code::kAlu;
  Space space = Space::kGeneric;
  int vector = 1;
  int target = -1;    // of a branch
  Alu alu = nullptr;  // of arithmetic and read-modify-write operations
  std::string compare;

  bool has(const char* modifier) const;
  Type type() const { return types.empty() ? Type::kNone : types.back(); }
};

struct Param {
  std::string name;
  size_t offset, size;
};

struct Kernel {
  std::string name;
  std::vector<Param> params;
  size_t param_bytes = 0;
  std::vector<Instruction> code;
  std::map<std::string, int> registers, labels;
  std::map<std::string, size_t> shared, local;
  size_t shared_bytes = 0, local_bytes = 0;
};

struct Module {
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
  std::set<std::string> dynamic_shared;
  std::map<std::string, std::vector<unsigned char>> globals;
};

// lexer.cpp
std::string trim(const std::string& text);
std::vector<std::string> split_list(const std::string& text);  // at commas outside brackets
std::string without_comments(const std::string& text);         // line numbers stay

// decode.cpp
Operand parse_operand(const std::string& text, const Kernel& kernel);
Instruction parse_instruction(const std::string& statement, int line, const Kernel& kernel);

// alu.cpp: the function of an arithmetic instruction; dies on one that is not known.
Alu find_alu(const Instruction& instruction);
bool compare(const Instruction& instruction, uint64_t a, uint64_t b);
// values.h has the conversions.

// parse.cpp
void parse_file(const std::string& path, Module& module);

}  // namespace ptxi
