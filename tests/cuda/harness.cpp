// Runs the registered cases on the route this program was built for, compares each case's hash
// with the committed one, and ends with "N passed, N failed, N skipped".
// usage: PROGRAM [--hashes FILE | --write-hashes FILE] [--quick] [CASE...], and on the emulator
// [--order fifo|lifo|random] [--seed N] [--early] [--both] [--resident N] [--ptx FILE,...]
// [--count] [--floors]
#include "harness.h"

#include <chrono>
#include <exception>
#include <fstream>
#include <map>
#include <set>
#if defined(SETUN_PTXI)
#include "ptxi/ptxi.h"
#endif

namespace setun::cuda::testing {
namespace {

struct Options {
  std::string hashes, write_hashes;
  bool quick = false, count = false, floors = false;
  std::set<std::string> only;
};

constexpr uint64_t kHashStart = 1469598103934665603ull;
uint64_t hash = kHashStart;
bool case_failed = false;

[[noreturn]] void usage(const std::string& what) {
  std::printf("%s\n", what.c_str());
  std::exit(2);
}

#if defined(SETUN_EMU)
cuemu::Order order_of(const std::string& name) {
  if (name == "fifo") {
    return cuemu::Order::kFifo;
  }
  if (name == "lifo") {
    return cuemu::Order::kLifo;
  }
  if (name != "random") {
    usage("--order takes fifo, lifo or random, got " + name);
  }
  return cuemu::Order::kRandom;
}

// True when the option belongs to the emulator.
template <class Next>
bool emulator_option(const std::string& option, const Next& next, Options& options) {
  if (option == "--order") {
    cuemu::config.order = order_of(next());
  } else if (option == "--seed") {
    cuemu::config.seed = std::strtoull(next().c_str(), nullptr, 10);
  } else if (option == "--resident") {
    cuemu::config.resident_blocks = std::atoi(next().c_str());
  } else if (option == "--early") {
    cuemu::config.cp_async_early = true;
  } else if (option == "--both") {
    cuemu::config.cp_async_both = true;
#if defined(SETUN_PTXI)
  } else if (option == "--ptx") {
    ptxi::use_files(next());
    add_ptx_cases();
  } else if (option == "--floors") {
    options.floors = true;
  } else if (option == "--count") {
    options.count = true;
    ptxi::count_instructions(true);
#endif
  } else {
    return false;
  }
  (void)options;
  return true;
}
#else
template <class Next>
bool emulator_option(const std::string&, const Next&, Options&) {
  return false;
}
#endif

Options parse(int argc, char** argv) {
  Options options;
  int i = 1;
  const auto next = [&] {
    if (i + 1 >= argc) {
      usage(std::string(argv[i]) + " takes a value");
    }
    return std::string(argv[++i]);
  };
  for (; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--hashes") {
      options.hashes = next();
    } else if (a == "--write-hashes") {
      options.write_hashes = next();
    } else if (a == "--quick") {
      options.quick = true;
    } else if (emulator_option(a, next, options)) {
      continue;
    } else if (a[0] == '-') {
      usage("unknown option " + a);
    } else {
      options.only.insert(a);
    }
  }
  for (const std::string& name : options.only) {
    bool known = false;
    for (const Case& c : cases()) {
      known = known || name == c.name;
    }
    if (!known) {
      usage("no case " + name);
    }
  }
  return options;
}

std::map<std::string, std::string> read_hashes(const std::string& path) {
  std::map<std::string, std::string> hashes;
  std::ifstream file(path);
  std::string name, value;
  while (file >> name >> value) {
    hashes[name] = value;
  }
  if (!path.empty() && hashes.empty()) {
    usage(path + " holds no hash");
  }
  return hashes;
}

std::string hex(uint64_t v) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(v));
  return text;
}

// Instructions of the kernels a case ran: tensor and dot products, barriers, memory with its waves.
void print_counts() {
#if defined(SETUN_PTXI)
  for (const auto& [kernel, counts] : ptxi::take_counts()) {
    uint64_t total = 0;
    for (const auto& [name, c] : counts) {
      total += c.executed;
    }
    std::printf("    %s: %llu warp instructions\n", kernel.c_str(),
                static_cast<unsigned long long>(total));
    for (const auto& [name, c] : counts) {
      const bool product = name.find("mma") == 0 || name.find("dp4a") == 0;
      if (product || c.ideal > 0) {
        std::printf("      %-48s %9llu, waves %9llu, ideal %9llu\n", name.c_str(),
                    static_cast<unsigned long long>(c.executed),
                    static_cast<unsigned long long>(c.waves),
                    static_cast<unsigned long long>(c.ideal));
      }
    }
  }
#endif
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int run(const Options& options) {
  const std::map<std::string, std::string> wanted = read_hashes(options.hashes);
  std::map<std::string, std::string> got;
  int passed = 0, failed = 0;
  const auto start = std::chrono::steady_clock::now();
  for (const Case& c : cases()) {
    if ((!options.only.empty() && options.only.count(c.name) == 0) || (options.quick && !c.quick)) {
      continue;
    }
    hash = kHashStart;
    case_failed = false;
    const auto begin = std::chrono::steady_clock::now();
    c.run();
    got[c.name] = hex(hash);
    const auto known = wanted.find(c.name);
    if (c.hashed && !options.hashes.empty() &&
        (known == wanted.end() || known->second != got[c.name])) {
      report_failure(c.name, 0,
                     "hash " + got[c.name] + ", committed is " +
                         (known == wanted.end() ? "none" : known->second));
    }
    std::printf("  %s %-44s %s %7.3f s\n", case_failed ? "FAIL" : "ok  ", c.name,
                got[c.name].c_str(), seconds_since(begin));
    (case_failed ? failed : passed) += 1;
    if (options.count) {
      print_counts();
    }
  }
  if (!options.write_hashes.empty()) {
    std::ofstream file(options.write_hashes);
    for (const auto& [name, value] : got) {
      file << name << " " << value << "\n";
    }
  }
  std::printf("  %.2f s\n%d passed, %d failed, 0 skipped\n", seconds_since(start), passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

void report_failure(const char* file, int line, const std::string& what) {
  std::printf("FAILED %s:%d: %s\n", file, line, what.c_str());
  case_failed = true;
}

void hash_bytes(const void* data, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) {
    hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211ull;
  }
}

std::vector<float> values(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(count);
  for (size_t i = 0; i < count; ++i) {
    const float scale = random.integer(0, 15) == 0 ? 4.0f : 1.0f;
    x[i] = random.integer(0, 31) == 0 ? 0.0f : scale * random.uniform(-1, 1);
    if (i > 0 && random.integer(0, 31) == 0) {
      x[i] = -x[i - 1];
    }
  }
  return x;
}

std::vector<bf16> as_bf16(const std::vector<float>& x) {
  std::vector<bf16> y;
  for (const float v : x) {
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    y.push_back({static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)});
  }
  return y;
}

float widened(bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

std::vector<float> rounded_to_bf16(std::vector<float> x) {
  for (float& v : x) {
    v = widened(as_bf16({v})[0]);
  }
  return x;
}

bool same(float a, float b) { return (a != a && b != b) || std::memcmp(&a, &b, 4) == 0; }

}  // namespace setun::cuda::testing

int main(int argc, char** argv) try {
  using namespace setun::cuda::testing;
  const Options options = parse(argc, argv);
#if defined(SETUN_PTXI)
  if (options.floors) {
    print_floors();
    return 0;
  }
#endif
#if !defined(SETUN_EMU)
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("no CUDA device\n0 passed, 0 failed, %zu skipped\n", cases().size());
    return 77;
  }
#endif
  return run(options);
} catch (const std::exception& e) {
  std::printf("%s\n0 passed, 1 failed, 0 skipped\n", e.what());
  return 1;
}
