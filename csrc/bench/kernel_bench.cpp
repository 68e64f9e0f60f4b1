#include "bench/kernel_bench.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/_int_mm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/text.h"
#include "bench/contest.h"
#include "ops/cpu/row_kernels.h"
#include "ops/few_rows_ops.h"
#include "ops/step_ops.h"
#include "run/assemble.h"

namespace setun::bench {
namespace {

constexpr int64_t kHeadOutputs = 32768;  // a vocabulary that no cache holds at usual widths

struct Shape {
  int64_t rows, columns, outputs;
  std::string text;
};

Shape parse_shape(const std::string& text) {
  Shape shape{0, 0, 0, text};
  char first = 0, second = 0, rest = 0;
  std::istringstream in(text);
  const bool read =
      static_cast<bool>(in >> shape.rows >> first >> shape.columns >> second >> shape.outputs);
  SETUN_CHECK(read && !(in >> rest) && first == 'x' && second == 'x' && shape.rows > 0 &&
                  shape.columns > 0 && shape.outputs > 0,
              "setun bench kernels: --shape ", text,
              ": expected rows x columns x outputs such as 512x2048x2048");
  return shape;
}

// Bytes of the largest cache, from the system; 32 MiB where it does not say.
int64_t last_level_cache() {
  int64_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) +
                       "/size");
    int64_t kilobytes = 0;
    if (file >> kilobytes) {
      largest = std::max(largest, kilobytes * 1024);
    }
  }
  return largest > 0 ? largest : int64_t{32} << 20;
}

// fp32 products run by MKL ("highest") or oneDNN ("medium"), both in fp32.
void with_precision(const char* precision, const std::function<void()>& run) {
  at::globalContext().setFloat32MatmulPrecision(precision);
  run();
  at::globalContext().setFloat32MatmulPrecision("highest");
}

ops::RowCodes random_row_codes(int64_t rows, int64_t columns) {
  return ops::quantize_absmax_rows(at::randn({rows, columns}), 8, 1e-5);
}

Contest product_contest(const Shape& shape) {
  const int64_t m = shape.rows, k = shape.columns, n = shape.outputs;
  const at::Tensor x = at::randn({m, k}), w = at::randn({n, k}).mul_(0.02);
  const at::Tensor x16 = x.to(at::kBFloat16), w16 = w.to(at::kBFloat16);
  const ops::RowCodes codes = ops::quantize_absmax_rows(x, 8, 1e-5);
  const ops::PackedWeight packed = ops::quantize_pack_absmean(w, 0, 1e-5);
  const at::Tensor codes_t = ops::unpack_ternary(packed.codes, at::kChar).t();
  const double work =
      2e-9 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
  const auto ternary = [=](at::ScalarType type) {
    return [=] { ops::ternary_linear(codes, packed.codes, packed.scale, type); };
  };
  return {
      "product " + shape.text,
      "GOP/s",
      {{"ATen fp32, MKL", [=] { with_precision("highest", [&] { at::linear(x, w); }); }, work},
       {"ATen fp32, oneDNN", [=] { with_precision("medium", [&] { at::linear(x, w); }); }, work},
       {"ATen bf16", [=] { at::linear(x16, w16); }, work},
       {"at::_int_mm, int32 result", [=] { at::_int_mm(codes.codes, codes_t); }, work},
       {"Setun ternary_linear, fp32 result", ternary(at::kFloat), work},
       {"Setun ternary_linear, bf16 result", ternary(at::kBFloat16), work}}};
}

// Reads every byte once, 8 at a time in independent sums. The sum is kept, so that it is needed.
void read_bytes(const at::Tensor& tensor) {
  static std::atomic<uint64_t> kept{0};
  const auto* words = static_cast<const uint64_t*>(tensor.const_data_ptr());
  const int64_t count = static_cast<int64_t>(tensor.nbytes()) / 8;
  at::parallel_for(0, count, 1 << 16, [&](int64_t begin, int64_t end) {
    uint64_t sums[32] = {};
    for (int64_t i = begin; i + 32 <= end; i += 32) {
      for (int lane = 0; lane < 32; ++lane) {
        sums[lane] += words[i + lane];
      }
    }
    for (const uint64_t sum : sums) {
      kept += sum;
    }
  });
}

// One token through weights that no cache holds: one tall matrix of 8 times the cache.
Contest decode_contest(int64_t columns, int64_t cache) {
  const int64_t rows = 8 * cache * 4 / columns;
  ops::PackedTernary packed = ops::pack_ternary(at::randint(-1, 2, {rows, columns}, at::kChar));
  const ops::RowCodes x = random_row_codes(1, columns), x4 = random_row_codes(4, columns);
  const at::Tensor scale = at::ones({1, 1});
  const int64_t rows16 = rows / 8;  // bf16 weights of the same bytes
  const at::Tensor w16 = at::randn({rows16, columns}).to(at::kBFloat16);
  const at::Tensor x16 = at::randn({1, columns}).to(at::kBFloat16);
  const double bytes = 1e-9 * static_cast<double>(packed.packed.nbytes());
  return {"decode, " + std::to_string(rows) + " x " + std::to_string(columns) + " weights, " +
              human_bytes(1e9 * bytes),
          "GB/s",
          {{"read the packed bytes", [=] { read_bytes(packed.packed); }, bytes},
           {"Setun ternary_linear, 1 row",
            [=] { ops::ternary_linear(x, packed, scale, at::kFloat); }, bytes},
           {"Setun ternary_linear, 4 rows",
            [=] { ops::ternary_linear(x4, packed, scale, at::kFloat); }, bytes},
           {"ATen bf16, 1 row (an eighth of the weights)", [=] { at::linear(x16, w16); },
            1e-9 * static_cast<double>(w16.nbytes())}}};
}

// A run repeats a short call until it is worth timing.
std::function<void()> repeated(int64_t times, std::function<void()> once) {
  return [=] {
    for (int64_t i = 0; i < times; ++i) {
      once();
    }
  };
}

// Few rows through a head, from bf16, fp32 and 8-bit weights.
Contest head_contest(int64_t columns, int64_t outputs) {
  const at::Tensor w = at::randn({outputs, columns}), w16 = w.to(at::kBFloat16);
  const at::Tensor x = at::randn({1, columns});
  const ops::RowCodes w8 = ops::quantize_absmax_rows(w, 8, 1e-5),
                      x8 = ops::quantize_absmax_rows(x, 8, 1e-5);
  const double bytes = 1e-9 * static_cast<double>(w16.nbytes());
  const auto aten = [=](const char* precision) {
    return [=] { with_precision(precision, [&] { at::linear(x, w); }); };
  };
  Contest contest = {"few rows through a head of " + std::to_string(outputs) + " x " +
                         std::to_string(columns) + " weights",
                     "GB/s",
                     {}};
  for (const int64_t rows : {1, 4, 16}) {
    const at::Tensor x16 = at::randn({rows, columns}).to(at::kBFloat16);
    const std::string suffix = ", " + std::to_string(rows) + (rows == 1 ? " row" : " rows");
    contest.arms.push_back({"ATen bf16" + suffix, [=] { at::linear(x16, w16); }, bytes});
    contest.arms.push_back({"Setun few_rows_linear, bf16" + suffix,
                            [=] { ops::few_rows_linear(x16, w16, at::kBFloat16); }, bytes});
  }
  contest.arms.push_back({"ATen fp32, MKL, 1 row", aten("highest"), 2 * bytes});
  contest.arms.push_back({"ATen fp32, oneDNN, 1 row", aten("medium"), 2 * bytes});
  contest.arms.push_back({"Setun few_rows_linear, fp32, 1 row",
                          [=] { ops::few_rows_linear(x, w, at::kFloat); }, 2 * bytes});
  contest.arms.push_back(
      {"Setun int8_linear, 1 row", [=] { ops::int8_linear(x8, w8, at::kBFloat16); }, bytes / 2});
  return contest;
}

// Few rows through one layer that stays in the cache.
Contest layer_contest(int64_t columns, int64_t outputs) {
  constexpr int64_t kTimes = 50;
  const at::Tensor w = at::randn({outputs, columns}).mul_(0.02), w16 = w.to(at::kBFloat16);
  const ops::PackedWeight packed = ops::quantize_pack_absmean(w, 0, 1e-5);
  const double layer = 2e-9 * kTimes * static_cast<double>(columns) * static_cast<double>(outputs);
  Contest contest = {
      "few rows through one layer, " + std::to_string(kTimes) + " times", "GOP/s", {}};
  for (const int64_t rows : {1, 4, 16}) {
    const at::Tensor x16 = at::randn({rows, columns}).to(at::kBFloat16);
    const ops::RowCodes x = random_row_codes(rows, columns);
    const std::string suffix = ", " + std::to_string(rows) + (rows == 1 ? " row" : " rows");
    const double work = layer * static_cast<double>(rows);
    contest.arms.push_back(
        {"ATen bf16" + suffix, repeated(kTimes, [=] { at::linear(x16, w16); }), work});
    contest.arms.push_back(
        {"Setun ternary_linear" + suffix,
         repeated(kTimes, [=] { ops::ternary_linear(x, packed.codes, packed.scale, at::kFloat); }),
         work});
  }
  return contest;
}

void copy_bytes(const at::Tensor& from, const at::Tensor& to) {
  auto* out = static_cast<char*>(to.data_ptr());
  const auto* in = static_cast<const char*>(from.const_data_ptr());
  at::parallel_for(0, static_cast<int64_t>(from.nbytes()), 1 << 17,
                   [&](int64_t begin, int64_t end) {
                     std::memcpy(out + begin, in + begin, static_cast<std::size_t>(end - begin));
                   });
}

void transform_blocks(const at::Tensor& x, int64_t block, const at::Tensor& y) {
  const auto& kernels = ops::cpu::row_kernels();
  const auto* in = x.const_data_ptr<float>();
  auto* out = y.data_ptr<float>();
  at::parallel_for(
      0, x.numel() / block, std::max<int64_t>(1, 32768 / block), [&](int64_t begin, int64_t end) {
        kernels.hadamard(in + begin * block, (end - begin) * block, block, out + begin * block);
      });
}

Contest hadamard_contest(const std::string& where, int64_t bytes, int64_t repeats) {
  const at::Tensor x = at::randn({bytes / 4}), y = at::empty_like(x);
  const double work = 2e-9 * static_cast<double>(bytes * repeats);
  Contest contest = {"Hadamard transform, " + human_bytes(static_cast<double>(bytes)) + " " + where,
                     "GB/s",
                     {{"memcpy", repeated(repeats, [=] { copy_bytes(x, y); }), work}}};
  for (int64_t block = 256; block <= 4096; block *= 2) {
    contest.arms.push_back({"blocks of " + std::to_string(block),
                            repeated(repeats, [=] { transform_blocks(x, block, y); }), work});
  }
  return contest;
}

Contest activations_contest(int64_t rows, int64_t columns) {
  const at::Tensor x = at::randn({rows, columns}), gain = at::ones({columns});
  const at::Tensor x16 = x.to(at::kBFloat16), copy = at::empty_like(x);
  const double bytes = 1e-9 * static_cast<double>(x.nbytes());
  const int64_t block = columns & -columns;
  return {"activations " + std::to_string(rows) + " x " + std::to_string(columns),
          "GB/s",
          {{"rms_norm, quantize_absmax (two operators)",
            [=] { ops::quantize_absmax(ops::rms_norm(x, gain, 1e-6), 8, 1e-5); }, bytes},
           {"rms_norm_quantize", [=] { ops::rms_norm_quantize(x, gain, 1e-6, 8, 1e-5, 0); }, bytes},
           {"rms_norm_quantize, bf16 input",
            [=] { ops::rms_norm_quantize(x16, gain, 1e-6, 8, 1e-5, 0); }, bytes / 2},
           {"rms_norm_quantize, rotated",
            [=] { ops::rms_norm_quantize(x, gain, 1e-6, 8, 1e-5, block); }, bytes},
           {"quantize_absmax_rows", [=] { ops::quantize_absmax_rows(x, 8, 1e-5); }, bytes},
           {"quantize_gradient_rows, nearest", [=] { ops::quantize_gradient_rows(x, false, 1); },
            bytes},
           {"quantize_gradient_rows, stochastic", [=] { ops::quantize_gradient_rows(x, true, 1); },
            bytes},
           {"memcpy", [=] { copy_bytes(x, copy); }, bytes}}};
}

Contest weights_contest(int64_t rows, int64_t columns) {
  const at::Tensor w = at::randn({rows, columns}).mul_(0.02), copy = at::empty_like(w);
  const at::Tensor w16 = w.to(at::kBFloat16);
  const ops::PackedWeight packed = ops::quantize_pack_absmean(w, 0, 1e-5);
  const double bytes = 1e-9 * static_cast<double>(w.nbytes());
  return {"weights " + std::to_string(rows) + " x " + std::to_string(columns),
          "GB/s",
          {{"quantize_absmean, pack_ternary (two operators)",
            [=] { ops::pack_ternary(ops::quantize_absmean(w, 0, 1e-5).codes); }, bytes},
           {"quantize_pack_absmean", [=] { ops::quantize_pack_absmean(w, 0, 1e-5); }, bytes},
           {"quantize_pack_absmean, bf16 weight", [=] { ops::quantize_pack_absmean(w16, 0, 1e-5); },
            bytes / 2},
           {"quantize_pack_scaled", [=] { ops::quantize_pack_scaled(w, packed.scale); }, bytes},
           {"transpose_ternary (of packed codes)", [=] { ops::transpose_ternary(packed.codes); },
            bytes / 16},
           {"unpack_ternary to bf16", [=] { ops::unpack_ternary(packed.codes, at::kBFloat16); },
            bytes / 16},
           {"memcpy", [=] { copy_bytes(w, copy); }, bytes}}};
}

// Heads of 64, forward alone and with the three gradients, by LibTorch's flash kernel and by Setun.
Contest attention_contest(int64_t batch, int64_t heads, int64_t length) {
  constexpr int64_t kDim = 64;
  using Attention =
      at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&);
  const double pairs = 0.5 * static_cast<double>(batch * heads * length * length);
  const double forward = 4e-9 * pairs * kDim, backward = 10e-9 * pairs * kDim;
  Contest contest = {
      str("attention of ", batch, " x ", heads, " heads, ", length, " tokens"), "GOP/s", {}};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    std::vector<at::Tensor> qkv;
    for (int i = 0; i < 3; ++i) {
      qkv.push_back(at::randn({batch, length, heads, kDim}).transpose(1, 2).to(type));
      qkv.back().requires_grad_();
    }
    const at::Tensor upstream = at::randn_like(qkv[0]);
    const auto add = [&](const std::string& name, Attention attention) {
      const std::string label = name + (type == at::kFloat ? ", fp32" : ", bf16");
      contest.arms.push_back({label,
                              [=] {
                                const c10::NoGradGuard no_grad;
                                attention(qkv[0], qkv[1], qkv[2], {});
                              },
                              forward});
      contest.arms.push_back({label + ", and gradients",
                              [=] {
                                const at::Tensor y = attention(qkv[0], qkv[1], qkv[2], {});
                                torch::autograd::grad({y}, qkv, {upstream});
                              },
                              forward + backward});
    };
    add("LibTorch", ops::causal_attention_by_library);
    add("Setun", ops::causal_attention);
  }
  return contest;
}

// Contests are made one after the other: their tensors do not fit the memory together.
std::vector<std::pair<std::string, std::function<Contest()>>> contests(
    const KernelBenchOptions& options) {
  const int64_t cache = last_level_cache();
  std::vector<std::pair<std::string, std::function<Contest()>>> list;
  for (const std::string& text : options.shapes) {
    const Shape shape = parse_shape(text);
    list.emplace_back("product", [shape] { return product_contest(shape); });
  }
  const Shape first = parse_shape(options.shapes.front());
  list.emplace_back("decode", [=] { return decode_contest(first.columns, cache); });
  list.emplace_back("decode", [=] { return layer_contest(first.columns, first.outputs); });
  list.emplace_back("head", [=] { return head_contest(first.columns, kHeadOutputs); });
  list.emplace_back("activations", [=] { return activations_contest(first.rows, first.columns); });
  list.emplace_back("weights", [=] { return weights_contest(first.outputs, first.columns); });
  list.emplace_back("attention", [] { return attention_contest(8, 4, 256); });
  list.emplace_back("attention", [] { return attention_contest(1, 12, 1024); });
  list.emplace_back("hadamard", [=] { return hadamard_contest("in memory", 8 * cache, 1); });
  list.emplace_back("hadamard", [=] { return hadamard_contest("in L2", 256 << 10, 200); });
  return list;
}

}  // namespace

void bench_kernels(const KernelBenchOptions& options) {
  const std::optional<CpuPath> path = parse_enum<CpuPath>(options.path);
  SETUN_CHECK(path || options.path.empty(), "setun bench kernels: --path ", options.path,
              ": expected one of ", enum_list<CpuPath>());
  const auto list = contests(options);
  SETUN_CHECK(options.only.empty() ||
                  std::any_of(list.begin(), list.end(),
                              [&](const auto& item) { return item.first == options.only; }),
              "setun bench kernels: --only ", options.only,
              ": expected one of product, decode, head, activations, weights, attention, hadamard");
  force_cpu_path(path);
  RunOptions process;
  process.threads = options.threads;
  process.matmul_precision = MatmulPrecision::kHighest;
  run::set_up_process(process);  // threads, and memory that stays with the process, as in training
  std::cout << machine_line() << "; " << options.repetitions << " alternating repetitions\n";
  std::vector<ContestResult> results;
  for (const auto& [kind, make] : list) {
    if (options.only.empty() || options.only == kind) {
      results.push_back(run_contest(make(), options.repetitions));
      print_contest(results.back());
    }
  }
  if (!options.json.empty()) {
    write_contests(options.json, results);
  }
}

}  // namespace setun::bench
