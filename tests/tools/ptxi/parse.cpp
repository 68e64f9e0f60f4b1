// From PTX text to kernels: entry headers, declarations, labels and statements.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "module.h"

namespace ptxi {
namespace {

size_t aligned(size_t offset, size_t align) { return (offset + align - 1) / align * align; }

size_t to_size(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 0); }

// A variable: ".shared .align 16 .b8 name[64]", also one parameter of an entry.
struct Variable {
  std::string space, name;
  size_t align = 0, element = 0, bytes = 0;
  bool external = false, sized = true;
};

Variable parse_variable(const std::string& text) {
  Variable v;
  Type type = Type::kB32;
  std::string name, word;
  std::stringstream words(text.substr(0, text.find('=')));
  while (words >> word) {
    if (word == ".align") {
      words >> v.align;
    } else if (word == ".extern") {
      v.external = true;
    } else if (word[0] == '.' && type_of(word.substr(1)) != Type::kNone) {
      type = type_of(word.substr(1));
    } else if (word[0] == '.') {
      v.space = word == ".visible" ? v.space : word.substr(1);
    } else {
      name += word;
    }
  }
  const size_t bracket = name.find('[');
  v.name = name.substr(0, bracket);
  v.element = v.bytes = static_cast<size_t>(bytes_of(type));
  if (bracket != std::string::npos) {
    v.sized = name[bracket + 1] != ']';
    v.bytes *= to_size(name.substr(bracket + 1));
  }
  v.align = std::max(v.align, v.element);
  return v;
}

std::vector<unsigned char> initial_bytes(const std::string& statement, const Variable& v) {
  std::vector<unsigned char> data(v.bytes, 0);
  const size_t open = statement.find('{');
  if (open == std::string::npos) {
    return data;
  }
  const std::vector<std::string> values =
      split_list(statement.substr(open + 1, statement.find('}') - open - 1));
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t value = std::strtoull(values[i].c_str(), nullptr, 0);
    std::copy_n(reinterpret_cast<const unsigned char*>(&value), v.element,
                data.begin() + static_cast<long>(i * v.element));
  }
  return data;
}

class Parser {
 public:
  Parser(const std::string& text, Module& module) : text_(text), module_(module) {}

  void run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        ++line_;
        take(' ');
      } else if (kernel_ == nullptr && c == '(' && token_.find(".entry") != std::string::npos) {
        entry();
      } else if (kernel_ != nullptr && (c == '{' || c == '}') && trim(token_).empty()) {
        brace(c);
      } else if (kernel_ != nullptr && c == ':' && trim(token_)[0] == '$') {
        kernel_->labels[trim(token_)] = static_cast<int>(kernel_->code.size());
        token_.clear();
        ++at_;
      } else if (c == ';') {
        const std::string done = trim(token_);
        token_.clear();
        ++at_;
        statement(done);
      } else if (kernel_ == nullptr && token_.empty() && directive()) {
        at_ = text_.find('\n', at_);
      } else {
        take(c);
      }
    }
  }

 private:
  void take(char c) {
    if (!token_.empty() || c != ' ') {
      token_ += c;
    }
    ++at_;
  }

  bool directive() const {  // lines without a semicolon
    for (const char* word : {".version", ".target", ".address_size"}) {
      if (text_.compare(at_, std::string(word).size(), word) == 0) {
        return true;
      }
    }
    return false;
  }

  void entry() {
    auto kernel = std::make_unique<Kernel>();
    kernel->name = trim(token_.substr(token_.find(".entry") + 6));
    const size_t close = text_.find(')', at_), open = text_.find('{', close);
    for (const std::string& text : split_list(text_.substr(at_ + 1, close - at_ - 1))) {
      const Variable v = parse_variable(text);
      kernel->param_bytes = aligned(kernel->param_bytes, v.align);
      kernel->params.push_back({v.name, kernel->param_bytes, v.bytes});
      kernel->param_bytes += v.bytes;
    }
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<long>(at_),
                                         text_.begin() + static_cast<long>(open), '\n'));
    at_ = open + 1;
    depth_ = 1;
    token_.clear();
    kernel_ = kernel.get();
    module_.kernels[kernel_->name] = std::move(kernel);
  }

  void brace(char c) {
    ++at_;
    token_.clear();
    depth_ += c == '{' ? 1 : -1;
    if (depth_ == 0) {
      kernel_ = nullptr;
    }
  }

  void statement(const std::string& s) {
    if (s.empty() || s.compare(0, 7, ".pragma") == 0 || s.compare(0, 4, ".loc") == 0) {
      return;
    }
    if (s[0] != '.') {
      if (kernel_ == nullptr) {
        die("line %d: statement outside a kernel: %s", line_, s.c_str());
      }
      kernel_->code.push_back(parse_instruction(s, line_, *kernel_));
    } else if (s.compare(0, 4, ".reg") == 0) {
      registers(s.substr(4));
    } else {
      declare(s);
    }
  }

  // ".b32 %r<5>" is %r0 to %r4.
  void registers(const std::string& s) {
    const std::string list = trim(s);
    for (const std::string& name : split_list(list.substr(list.find_first_of(" \t")))) {
      const size_t bracket = name.find('<');
      const size_t count = bracket == std::string::npos ? 1 : to_size(name.substr(bracket + 1));
      for (size_t i = 0; i < count; ++i) {
        const std::string one =
            bracket == std::string::npos ? name : name.substr(0, bracket) + std::to_string(i);
        kernel_->registers.emplace(one, static_cast<int>(kernel_->registers.size()));
      }
    }
  }

  void declare(const std::string& s) {
    const Variable v = parse_variable(s);
    if (v.space == "shared" && (v.external || !v.sized)) {
      module_.dynamic_shared.insert(v.name);
    } else if (v.space == "shared" && kernel_ != nullptr) {
      place(v, kernel_->shared, kernel_->shared_bytes);
    } else if (v.space == "local" && kernel_ != nullptr) {
      place(v, kernel_->local, kernel_->local_bytes);
    } else if (v.space == "global" || v.space == "const") {
      module_.globals[v.name] = initial_bytes(s, v);
    } else {
      die("line %d: cannot place declaration: %s", line_, s.c_str());
    }
  }

  static void place(const Variable& v, std::map<std::string, size_t>& where, size_t& used) {
    used = aligned(used, v.align);
    where[v.name] = used;
    used += v.bytes;
  }

  const std::string& text_;
  Module& module_;
  Kernel* kernel_ = nullptr;
  size_t at_ = 0;
  std::string token_;
  int line_ = 1, depth_ = 0;
};

}  // namespace

void parse_file(const std::string& path, Module& module) {
  std::ifstream file(path);
  if (!file) {
    die("cannot read %s", path.c_str());
  }
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const std::string source = without_comments(text);
  Parser(source, module).run();
  for (auto& [name, kernel] : module.kernels) {
    for (Instruction& i : kernel->code) {
      if (i.code == Code::kBranch) {
        i.target = kernel->labels.at(i.operands[0].symbol);
      }
    }
  }
}

}  // namespace ptxi
