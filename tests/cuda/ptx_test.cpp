// How the kernels use memory and the tensor units, counted by ptxi while it runs nvcc's PTX: run
// only on that route. Ideal is one wavefront for each phase of shared memory and as few 32-byte
// sectors as the touched bytes fill.
#include <functional>

#include "adamw.h"
#include "cross_entropy.h"
#include "elements.h"
#include "harness.h"
#include "layouts.h"
#include "products.h"
#include "ptxi/ptxi.h"
#include "step.h"
#include "tokens.h"
#include "weights.h"

namespace setun::cuda::testing {
namespace {

// Runs with counters on; the counts of the one kernel whose name holds `kernel`.
template <class Run>
ptxi::Counts counted(const std::string& kernel, const Run& run) {
  ptxi::take_counts();
  ptxi::count_instructions(true);
  run();
  ptxi::count_instructions(false);
  for (auto& [name, counts] : ptxi::take_counts()) {
    if (name.find(kernel) != std::string::npos) {
      return counts;
    }
  }
  report_failure(__FILE__, __LINE__, "kernel " + kernel + " did not run");
  return {};
}

ptxi::Count total(const ptxi::Counts& counts, const std::string& prefix) {
  ptxi::Count sum;
  for (const auto& [name, c] : counts) {
    if (name.find(prefix) == 0) {
      sum.executed += c.executed;
      sum.waves += c.waves;
      sum.ideal += c.ideal;
    }
  }
  return sum;
}

// A product of m x 128 x depth with scales per row and a residual.
void run_product(int m, bool int4, bool bf16_out, int depth) {
  constexpr int kN = 128;

  const Device<int8_t> a8(std::vector<int8_t>(static_cast<size_t>(m * depth), 3));
  const Device<uint32_t> a4(
      std::vector<uint32_t>(static_cast<size_t>(int4_words(m, tiles_k(depth))), 0x11111111u));
  const Device<uint32_t> w(
      std::vector<uint32_t>(static_cast<size_t>(ternary_words(kN, tiles_k(depth))), 0x55555555u));
  const Device<int32_t> sums(std::vector<int32_t>(static_cast<size_t>(m), 0));
  const Device<float> scale(std::vector<float>(kN, 1)),
      token(std::vector<float>(static_cast<size_t>(m), 1)),
      residual(std::vector<float>(static_cast<size_t>(m * kN), 1)), y(static_cast<size_t>(m * kN));
  ProductParams p{};
  p.m = m;
  p.n = kN;
  p.k = depth;
  p.a8 = int4 ? nullptr : a8.data();
  p.a8_stride = depth;
  p.a4 = a4.data();
  p.sums = sums.data();
  p.w = w.data();
  p.weight_scale = scale.data();
  p.weight_stride = 1;
  p.token_scale = token.data();
  p.residual = residual.data();
  p.out = y.data();
  p.out_bf16 = bf16_out;
  p.out_stride = kN;
  CHECK_RUNS(m == 1 ? ternary_vector_product(p, nullptr)
                    : ternary_matrix_product(p, false, nullptr));
}

ptxi::Counts product_counts(int m, bool int4, bool bf16_out) {
  return counted(m == 1 ? "gemv" : "gemm", [=] { run_product(m, int4, bf16_out, 256); });
}

void ptx_product_stores() {
  for (const bool bf16_out : {false, true}) {
    const ptxi::Count stores = total(product_counts(64, false, bf16_out), "st.global");
    CHECK_THAT(stores.ideal == 64 * 128 * (bf16_out ? 2 : 4) / 32);
    CHECK_THAT(stores.waves == stores.ideal);
  }
}

void ptx_product_tensor_products() {
  for (const bool int4 : {false, true}) {
    const ptxi::Counts counts = product_counts(64, int4, false);
    CHECK_THAT(total(counts, "mma.sync.aligned.m16n8k32").executed ==
               (64 / 16) * (128 / 8) * (256 / 32));
    const ptxi::Count shared = total(counts, int4 ? "ld.shared" : "ldmatrix");
    CHECK_THAT(shared.executed > 0 && shared.waves == shared.ideal);
    const ptxi::Count copies = total(counts, "cp.async");
    CHECK_THAT(copies.waves == static_cast<uint64_t>(64 * 256 / (int4 ? 2 : 1) / 32));
  }
}

void ptx_vector_dot_products() {
  const ptxi::Counts counts = product_counts(1, false, false);
  CHECK_THAT(total(counts, "dp4a").executed == 128 * 256 / 4 / 32);
}

// Padding-free shared memory: a transform of 4096 may lose 1 wavefront in 8, not a factor.
void ptx_hadamard_banks() {
  constexpr int kColumns = 4096;
  const Device<float> x(values(kColumns, 1)), y(kColumns);
  TokenParams p{};
  p.x = x.data();
  p.rows = 1;
  p.columns = kColumns;
  p.hadamard_block = kColumns;
  p.dense = y.data();
  const ptxi::Counts counts =
      counted("token_kernel", [&] { CHECK_RUNS(transform_tokens(p, nullptr)); });
  for (const char* access : {"ld.shared", "st.shared"}) {
    const ptxi::Count c = total(counts, access);
    CHECK_THAT(c.executed > 0 && c.waves * 8 <= c.ideal * 9);
  }
  const ptxi::Count global = total(counts, "st.global");
  CHECK_THAT(global.waves == global.ideal);
}

struct Floor {
  const char* what;
  const char* kernel;  // part of its name; "" adds all kernels of the run
  double repeat;       // units of the shape that is run in the shape that is named
  double bytes;        // that the named shape must move
  double products;     // int8 multiply-adds of it
  std::function<void()> run;
};

TokenParams token_params(const void* x, int columns, const float* gain) {
  TokenParams p{};
  p.x = x;
  p.is_bf16 = true;
  p.rows = 1;
  p.columns = columns;
  p.norm = true;
  p.norm_eps = 1e-6f;
  p.gain = gain;
  p.bits = 8;
  p.eps = 1e-5f;
  p.rule = TokenRule::kAbsmax;
  return p;
}

void print_floor(const Floor& floor) {
  constexpr double kSchedulers = 132 * 4, kMegahertz = 1755;  // an H100 SXM
  constexpr double kBytesPerUs = 3.35e6, kProductsPerUs = 1979e6 / 2;
  ptxi::take_counts();
  ptxi::count_instructions(true);
  floor.run();
  ptxi::count_instructions(false);
  uint64_t instructions = 0;
  for (const auto& [name, counts] : ptxi::take_counts()) {
    if (name.find(floor.kernel) != std::string::npos) {
      instructions += total(counts, "").executed;
    }
  }
  const double issued = static_cast<double>(instructions) * floor.repeat;
  std::printf("| %s | %.3g | %.2f | %.2f | %.2f |\n", floor.what, issued,
              issued / kSchedulers / kMegahertz, floor.bytes / kBytesPerUs,
              floor.products / kProductsPerUs);
}

void token_floors() {
  constexpr int kRows = 512;
  const Device<bf16> x(as_bf16(values(4096, 1)));
  const Device<float> gain(values(4096, 2)), scale(1);
  const Device<int32_t> sums(1);
  const Device<int8_t> codes(4096);
  const auto floor = [&](const char* what, int columns, const auto& change) {
    TokenParams p = token_params(x.data(), columns, gain.data());
    p.scale = scale.data();
    p.sums = sums.data();
    p.codes = codes.data();
    p.code_stride = columns;
    change(p);
    print_floor({what, "token_kernel", kRows, 3.0 * kRows * columns, 0,
                 [&] { CHECK_RUNS(transform_tokens(p, nullptr)); }});
  };
  floor("norm, int8; 512 x 2560, bf16", 2560, [](TokenParams&) {});
  floor("norm, Hadamard 4096, int8; 512 x 4096, bf16", 4096,
        [](TokenParams& p) { p.hadamard_block = 4096; });
  floor("norm, top half, int8; 512 x 2560, bf16", 2560, [](TokenParams& p) {
    p.keep = 1280;
    p.every = 2560;
  });
}

void product_floors() {
  constexpr double kNK = 2560.0 * 2560;
  const double blocks = 512.0 / 64 * 2560 / 128;  // 64 x 128 x 2560 is run
  const double out = 2.0 * 512 * 2560;
  print_floor({"W2A8 vector; 1 x 2560 x 2560", "gemv", 2560.0 / 128, kNK / 4 + 2560 + 2 * 2560, 0,
               [] { run_product(1, false, true, 2560); }});
  print_floor({"W2A8 matrix; 512 x 2560 x 2560", "gemm", blocks, kNK / 4 + 512 * 2560 + out,
               512 * kNK, [] { run_product(64, false, true, 2560); }});
  print_floor({"W2A4 matrix; 512 x 2560 x 2560", "gemm", blocks, kNK / 4 + 256 * 2560 + out,
               512 * kNK, [] { run_product(64, true, true, 2560); }});
}

void weight_floors() {
  constexpr int64_t kN = 64, kK = 2560;
  constexpr double kRepeat = 2560.0 / kN, kAll = 2560.0 * 2560;
  const auto count = static_cast<size_t>(kN * kK);
  const Device<float> w(values(count, 1)), grad(values(count, 2)), m(values(count, 3)),
      v(std::vector<float>(count, 1)), scale(1),
      partial(static_cast<size_t>(weight_workspace(kN * kK)));
  const Device<uint32_t> packed(static_cast<size_t>(ternary_words(kN, tiles_k(kK))));
  print_floor({"absmean, pack; 2560 x 2560, fp32", "", kRepeat, 8.25 * kAll, 0, [&] {
                 CHECK_RUNS(weight_scale({w.data(), false, kN, kK, 0, WeightRule::kAbsmean, 1e-5f,
                                          scale.data(), nullptr, partial.data()},
                                         nullptr));
                 CHECK_RUNS(ternary_codes({w.data(), false, kN, kK, 0, WeightRule::kAbsmean,
                                           scale.data(), nullptr, nullptr, nullptr, packed.data()},
                                          nullptr));
               }});
  const Device<float> factors(std::vector<float>{1, 1, 1e-3f, 2, 1e-8f, 0.1f, 0.95f, 0.05f});
  const AdamWParams u{w.data(), grad.data(), m.data(),       v.data(),
                      kN,       kK,          factors.data(), partial.data()};
  print_floor(
      {"AdamW, absmean, pack; 2560 x 2560", "", kRepeat, 32.25 * kAll, 0, [&] {
         CHECK_RUNS(adamw_ternary({u, 0, 1e-5f, scale.data(), nullptr, packed.data()}, nullptr));
       }});
}

void loss_floors() {
  constexpr int kClasses = 32000, kRows = 512;
  const Device<bf16> logits(as_bf16(values(kClasses, 1)));
  const Device<float> losses(1);
  const Device<int64_t> targets(std::vector<int64_t>{7});
  print_floor(
      {"cross-entropy; 512 x 32000, bf16", "cross_entropy", kRows, 4.0 * kRows * kClasses, 0, [&] {
         CHECK_RUNS(cross_entropy(
             {logits.data(), true, 1, kClasses, targets.data(), -100, 1.0f, losses.data(), true},
             nullptr));
       }});
}

// Streams of bf16 but for the optimizer's fp32: 512 tokens, 2560 wide.
void stream_floors() {
  constexpr int64_t kCount = 16384, kHeads = 4, kTime = 32, kDim = 128;
  constexpr double kRepeat = 512.0 * 2560 / kCount, kBytes = 512.0 * 2560;
  const Device<bf16> a(as_bf16(values(kCount, 1))), b(as_bf16(values(kCount, 2))),
      c(as_bf16(values(kCount, 3))), d(kCount), e(kCount);
  const Device<float> wide(values(kCount, 4)), cos(values(kTime * kDim / 2, 5)), scale(8);
  const Device<double> partial(1), total(1);
  const Device<int8_t> codes(std::vector<int8_t>(kCount, 3));
  constexpr int64_t kHead = kTime * kDim, kBatch = kHeads * kHead;
  print_floor({"rotary embedding; 512 x 2560, bf16", "rope", kRepeat, 4 * kBytes, 0, [&] {
                 CHECK_RUNS(rope({a.data(), d.data(), true, 1, kHeads, kTime, kDim / 2, kBatch,
                                  kHead, kDim, kBatch, kHead, kDim, cos.data(), cos.data(), 1},
                                 nullptr));
               }});
  GatedParams p{a.data(), b.data(), nullptr, true,   GatedRule::kSilu,
                kCount,   d.data(), nullptr, nullptr};
  print_floor({"SwiGLU; 512 x 2560, bf16", "gated", kRepeat, 6 * kBytes, 0,
               [&] { CHECK_RUNS(gated_activation(p, nullptr)); }});
  p.dy = c.data();
  p.d_gate = d.data();
  p.d_up = e.data();
  print_floor({"SwiGLU backward; 512 x 2560, bf16", "gated", kRepeat, 10 * kBytes, 0,
               [&] { CHECK_RUNS(gated_backward(p, nullptr)); }});
  print_floor({"values of codes; 512 x 2560, bf16", "dequantize", kRepeat, 3 * kBytes, 0, [&] {
                 CHECK_RUNS(dequantize_rows(
                     {codes.data(), scale.data(), 8, kCount / 8, d.data(), true}, nullptr));
               }});
  print_floor(
      {"sum of squares; 2560 x 2560, fp32", "squares", 2560.0 * 2560 / kCount, 4.0 * 2560 * 2560, 0,
       [&] {
         CHECK_RUNS(sum_of_squares({wide.data(), kCount, partial.data(), total.data()}, nullptr));
       }});
}

}  // namespace

void print_floors() {
  std::printf(
      "| kernel; shape | warp instructions (PTX) | issue floor us | memory floor us | int8 tensor "
      "floor us |\n");
  std::printf("|---|---|---|---|---|\n");
  product_floors();
  token_floors();
  weight_floors();
  loss_floors();
  stream_floors();
}

void add_ptx_cases() {
  cases().push_back({"ptx_product_stores", ptx_product_stores, true, false});
  cases().push_back({"ptx_product_tensor_products", ptx_product_tensor_products, true, false});
  cases().push_back({"ptx_vector_dot_products", ptx_vector_dot_products, true, false});
  cases().push_back({"ptx_hadamard_banks", ptx_hadamard_banks, true, false});
}

}  // namespace setun::cuda::testing
