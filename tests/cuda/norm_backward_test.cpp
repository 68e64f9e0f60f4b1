// Norm derivatives against the CPU's portable kernels; rows of the gain in blocks of 64, in order.
#include "norm_backward.h"

#include "harness.h"
#include "ops/cpu/step_kernels.h"

namespace setun::cuda::testing {
namespace {

using Floats = std::vector<float>;

struct Gradients {
  Floats dx, dg;
};

Gradients expected(const Floats& dy, const Floats& x, const Floats& gain, const Floats& factor,
                   bool layer_norm) {
  const ops::cpu::StepKernels& kernels = ops::cpu::step_kernels_scalar();
  constexpr auto kFp32 = ops::cpu::Element::kFp32;
  const size_t rows = factor.size(), k = dy.size() / rows;
  const auto n = static_cast<int64_t>(k);
  Gradients g{Floats(dy.size()), Floats(k, 0)};
  Floats partial(k, 0);
  for (size_t r = 0; r < rows; ++r) {
    const ops::cpu::InRow upstream{&dy[r * k], kFp32}, in{&x[r * k], kFp32};
    if (layer_norm) {
      kernels.layer_norm_backward(upstream, &x[r * k], factor[r], n, {&g.dx[r * k], kFp32});
      continue;
    }
    kernels.rms_norm_backward(upstream, in, gain.empty() ? nullptr : gain.data(), factor[r], n,
                              &g.dx[r * k], partial.data());
    if (r % 64 == 63 || r + 1 == rows) {
      for (size_t i = 0; i < k; ++i) {
        g.dg[i] = r < 64 ? partial[i] : g.dg[i] + partial[i];
        partial[i] = 0;
      }
    }
  }
  return g;
}

void check(int64_t rows, int columns, bool with_gain, bool layer_norm) {
  const auto count = static_cast<size_t>(rows * columns);
  const Floats dy = values(count, 1), x = values(count, 2),
               gain = with_gain ? values(static_cast<size_t>(columns), 3) : Floats{};
  Floats factor = values(static_cast<size_t>(rows), 4);
  const Device<float> ddy(dy), dx_in(x), dgain(gain), dfactor(factor), dx(count),
      dg(static_cast<size_t>(columns)), partial(static_cast<size_t>(gain_workspace(rows, columns)));
  NormBackwardParams p{};
  p.layer_norm = layer_norm;
  p.dy = ddy.data();
  p.x = dx_in.data();
  p.gain = with_gain ? dgain.data() : nullptr;
  p.factor = dfactor.data();
  p.rows = rows;
  p.columns = columns;
  p.dx = dx.data();
  p.gain_grad = with_gain ? dg.data() : nullptr;
  p.partial = partial.data();
  CHECK_RUNS(norm_backward(p, nullptr));
  const Gradients wanted = expected(dy, x, gain, factor, layer_norm);
  CHECK_THAT(all_same(dx.read(), wanted.dx));
  if (with_gain) {
    CHECK_THAT(all_same(dg.read(), wanted.dg));
  }
}

}  // namespace

SETUN_CUDA_TEST(norm_backward) {
  check(3, 200, true, false);
  check(1, 70, false, false);
  check(2, 130, false, true);
}

SETUN_CUDA_LARGE_TEST(norm_backward_many_rows) {
  check(150, 40, true, false);
  check(2, 9000, true, false);
  check(1, 13000, false, true);
}

}  // namespace setun::cuda::testing
