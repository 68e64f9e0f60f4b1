// How the kernels use memory and the tensor units, counted by ptxi while it runs nvcc's PTX: run
// only on that route. Ideal is one wavefront for each phase of shared memory and as few 32-byte
// sectors as the touched bytes fill.
#include "harness.h"
#include "layouts.h"
#include "products.h"
#include "ptxi/ptxi.h"
#include "tokens.h"

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

// A product of m x 128 x 256 with scales per row and a residual.
ptxi::Counts product_counts(int m, bool int4, bool bf16_out) {
  constexpr int kN = 128, kK = 256;
  const Device<int8_t> a8(std::vector<int8_t>(static_cast<size_t>(m * kK), 3));
  const Device<uint32_t> a4(
      std::vector<uint32_t>(static_cast<size_t>(int4_words(m, tiles_k(kK))), 0x11111111u));
  const Device<uint32_t> w(
      std::vector<uint32_t>(static_cast<size_t>(ternary_words(kN, tiles_k(kK))), 0x55555555u));
  const Device<int32_t> sums(std::vector<int32_t>(static_cast<size_t>(m), 0));
  const Device<float> scale(std::vector<float>(kN, 1)),
      token(std::vector<float>(static_cast<size_t>(m), 1)),
      residual(std::vector<float>(static_cast<size_t>(m * kN), 1)), y(static_cast<size_t>(m * kN));
  ProductParams p{};
  p.m = m;
  p.n = kN;
  p.k = kK;
  p.a8 = int4 ? nullptr : a8.data();
  p.a8_stride = kK;
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
  return m == 1 ? counted("gemv", [&] { CHECK_RUNS(ternary_vector_product(p, nullptr)); })
                : counted("gemm", [&] { CHECK_RUNS(ternary_matrix_product(p, false, nullptr)); });
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
  for (const char* access : {"ld.shared.f32", "st.shared.f32"}) {
    const ptxi::Count c = total(counts, access);
    CHECK_THAT(c.executed > 0 && c.waves * 8 <= c.ideal * 9);
  }
  const ptxi::Count global = total(counts, "st.global");
  CHECK_THAT(global.waves == global.ideal);
}

}  // namespace

void add_ptx_cases() {
  cases().push_back({"ptx_product_stores", ptx_product_stores, true, false});
  cases().push_back({"ptx_product_tensor_products", ptx_product_tensor_products, true, false});
  cases().push_back({"ptx_vector_dot_products", ptx_vector_dot_products, true, false});
  cases().push_back({"ptx_hadamard_banks", ptx_hadamard_banks, true, false});
}

}  // namespace setun::cuda::testing
