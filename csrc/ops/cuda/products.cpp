// Glue of packed ternary weights and of the product that reads them.
#include <ATen/Functions.h>

#include "cuda/elements.h"
#include "cuda/layouts.h"
#include "cuda/lt_matmul.h"
#include "cuda/products.h"
#include "cuda/weights.h"
#include "ops/checks.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ops_cuda.h"
#if !defined(SETUN_EMU)
#include <ATen/cuda/CUDAContextLight.h>
#endif

namespace setun::ops::cuda {
namespace {

using setun::cuda::kTileK;
using setun::cuda::WeightRule;

// cuBLASLt's of the calling thread on the current device.
void* lt_handle() {
#if defined(SETUN_EMU)
  return nullptr;
#else
  return at::cuda::getCurrentCUDABlasLtHandle();
#endif
}

// Whether mma.s4 is one instruction on the current device: sm_80 to sm_89.
bool has_int4_units() {
#if defined(SETUN_EMU)
  return EmulatedDevice::int4_units;
#else
  return at::cuda::getCurrentDeviceProperties()->major == 8;
#endif
}

at::Tensor empty_packed(const at::Tensor& like, int64_t rows, int64_t columns) {
  return at::empty({packed_bytes(rows, columns)}, like.options().dtype(at::kByte));
}

uint32_t* words_of(const at::Tensor& packed) { return static_cast<uint32_t*>(packed.data_ptr()); }

// Words and histogram of the codes of w [O, I] for a known scale [1, 1] or [O, G].
TensorPair encode(const char* op, const at::Tensor& w, const at::Tensor& scale) {
  const int64_t rows = w.size(0), columns = w.size(1);
  at::Tensor packed = empty_packed(w, rows, columns);
  at::Tensor counts = at::zeros({3}, w.options().dtype(at::kLong));
  const int64_t group = scale.numel() == 1 ? 0 : columns / scale.size(1);
  const DeviceScope scope(w);
  check_launch(op, setun::cuda::ternary_codes(
                       {w.const_data_ptr(), w.scalar_type() == at::kBFloat16, rows, columns, group,
                        WeightRule::kAbsmean, scale.const_data_ptr<float>(), nullptr, nullptr,
                        nullptr, words_of(packed)},
                       scope.stream()));
  check_launch(op, setun::cuda::count_codes(
                       {words_of(packed), rows, columns,
                        reinterpret_cast<unsigned long long*>(counts.data_ptr<int64_t>())},
                       scope.stream()));
  return {packed, counts};
}

// int8 codes [M, K] of either form.
at::Tensor int8_rows(const at::Tensor& codes, int64_t columns) {
  const at::Tensor wide = codes.scalar_type() == at::kByte ? unpack_int4(codes, columns) : codes;
  return wide.reshape({-1, columns}).contiguous();
}

// Rows as the int8 kernels read them: zeros to whole tiles.
at::Tensor whole_tiles(const at::Tensor& rows) {
  const int64_t missing = setun::cuda::tiles_k(rows.size(1)) * kTileK - rows.size(1);
  return missing == 0 ? rows : at::constant_pad_nd(rows, {0, missing});
}

// Groups that are no whole tiles: a product of floats a group, whose sums are exact integers.
at::Tensor product_by_groups(const at::Tensor& codes_MK, const at::Tensor& scale_M1,
                             const at::Tensor& w_OK, const at::Tensor& w_scale) {
  const int64_t groups = w_scale.size(1), width = w_OK.size(1) / groups;
  at::Tensor total = at::zeros({codes_MK.size(0), w_OK.size(0)}, scale_M1.options());
  for (int64_t g = 0; g < groups; ++g) {
    const at::Tensor a = codes_MK.narrow(1, g * width, width).to(at::kFloat);
    const at::Tensor acc = at::mm(a, w_OK.narrow(1, g * width, width).to(at::kFloat).t());
    total.add_(acc.mul_(w_scale.narrow(1, g, 1).reshape({1, -1})));
  }
  return total.mul_(scale_M1.reciprocal());
}

// The arguments of ternary_linear, flattened to rows, and where each route puts its result.
struct Product {
  at::Tensor codes;  // int8 [M, K] or uint8 of pack_int4
  at::Tensor scale, sums, packed, w_scale, residual, y;
  int64_t m, n, k;

  int64_t groups() const { return w_scale.size(1); }
  bool int4() const { return codes.scalar_type() == at::kByte; }

  void run() const {
    switch (setun::cuda::choose_route(static_cast<int>(m), static_cast<int>(n), static_cast<int>(k),
                                      groups() > 1)) {
      case setun::cuda::Route::kVector:
        return on_codes(&setun::cuda::ternary_vector_product);
      case setun::cuda::Route::kLibrary:
        if (by_library()) {
          return;
        }
        break;
      case setun::cuda::Route::kMatrix:
        break;
    }
    if (int4()) {
      on_pairs();
    } else {
      on_codes([](const setun::cuda::ProductParams& p, cudaStream_t stream) {
        return setun::cuda::ternary_matrix_product(p, false, stream);
      });
    }
  }

 private:
  setun::cuda::ProductParams params() const {
    setun::cuda::ProductParams p{};
    p.m = static_cast<int>(m);
    p.n = static_cast<int>(n);
    p.k = static_cast<int>(k);
    p.sums = sums.const_data_ptr<int32_t>();
    p.w = words_of(packed);
    p.group = groups() == 1 ? 0 : static_cast<int>(k / groups());
    p.weight_scale = w_scale.const_data_ptr<float>();
    p.weight_stride = w_scale.numel() == 1 ? 0 : static_cast<int>(groups());
    p.token_scale = scale.const_data_ptr<float>();
    p.token_divides = true;
    p.residual = residual.defined() ? residual.const_data_ptr<float>() : nullptr;
    p.out = y.data_ptr();
    p.out_bf16 = y.scalar_type() == at::kBFloat16;
    p.out_stride = n;
    return p;
  }

  template <class Kernel>
  void on_codes(const Kernel& kernel) const {
    const at::Tensor rows = whole_tiles(int8_rows(codes, k));
    setun::cuda::ProductParams p = params();
    p.a8 = rows.const_data_ptr<int8_t>();
    p.a8_stride = rows.size(1);
    const DeviceScope scope(rows);
    check_launch("ternary_linear", kernel(p, scope.stream()));
  }

  void on_pairs() const {
    const at::Tensor pairs = codes.contiguous();
    const at::Tensor words = at::empty({setun::cuda::int4_words(m, setun::cuda::tiles_k(k))},
                                       codes.options().dtype(at::kInt));
    setun::cuda::ProductParams p = params();
    p.a4 = static_cast<uint32_t*>(words.data_ptr());
    const DeviceScope scope(words);
    check_launch("ternary_linear",
                 setun::cuda::int4_words({pairs.const_data_ptr<uint8_t>(), m, k,
                                          static_cast<uint32_t*>(words.data_ptr())},
                                         scope.stream()));
    check_launch("ternary_linear",
                 setun::cuda::ternary_matrix_product(p, has_int4_units(), scope.stream()));
  }

  // Both operands in int8, sums in int32, then their values. False: the library has no algorithm.
  bool by_library() const {
    constexpr int64_t kWorkspace = int64_t{32} << 20;  // what the library asks for on sm_90
    const at::Tensor a = int8_rows(codes, k), b = unpack_ternary(packed, n, k, at::kChar);
    const at::Tensor acc = at::empty({m, n}, a.options().dtype(at::kInt)),
                     workspace = at::empty({kWorkspace}, a.options().dtype(at::kByte));
    setun::cuda::ProductParams p = params();
    p.accumulators = acc.data_ptr<int32_t>();
    const DeviceScope scope(a);
    const char* refused = setun::cuda::lt_matmul(
        lt_handle(),
        {p.m, p.n, p.k, false, a.const_data_ptr(), b.const_data_ptr(), acc.data_ptr(),
         workspace.data_ptr(), static_cast<size_t>(kWorkspace)},
        scope.stream());
    if (refused != nullptr) {
      TORCH_WARN_ONCE("ternary_linear: ", refused, " (", m, " x ", n, " x ", k,
                      "); Setun's own kernel multiplies instead");
      return false;
    }
    check_launch("ternary_linear", setun::cuda::dequantize_product(p, scope.stream()));
    return true;
  }
};

}  // namespace

int64_t packed_bytes(int64_t rows, int64_t columns) {
  return 4 * setun::cuda::ternary_words(rows, setun::cuda::tiles_k(columns));
}

at::Tensor pack_ternary(const at::Tensor& codes_in) {
  check_pack_ternary(codes_in);
  const at::Tensor codes = codes_in.contiguous();
  at::Tensor packed = empty_packed(codes, codes.size(0), codes.size(1));
  const DeviceScope scope(codes);
  check_launch("pack_ternary",
               setun::cuda::pack_ternary({codes.const_data_ptr<int8_t>(), codes.size(0),
                                          codes.size(1), false, words_of(packed)},
                                         scope.stream()));
  return packed;
}

at::Tensor unpack_ternary(const at::Tensor& packed_in, int64_t rows, int64_t columns,
                          at::ScalarType dtype) {
  check_packed("unpack_ternary", packed_in, rows, columns, packed_bytes(rows, columns));
  check_code_type("unpack_ternary", dtype);
  const at::Tensor packed = packed_in.contiguous();
  at::Tensor codes = at::empty({rows, columns}, packed.options().dtype(dtype));
  setun::cuda::UnpackParams p{words_of(packed), rows, columns, nullptr, nullptr, nullptr};
  if (dtype == at::kChar) {
    p.as_int8 = codes.data_ptr<int8_t>();
  } else if (dtype == at::kFloat) {
    p.as_fp32 = codes.data_ptr<float>();
  } else {
    p.as_bf16 = static_cast<setun::cuda::bf16*>(codes.data_ptr());
  }
  const DeviceScope scope(packed);
  check_launch("unpack_ternary", setun::cuda::unpack_ternary(p, scope.stream()));
  return codes;
}

at::Tensor transpose_ternary(const at::Tensor& packed_in, int64_t rows, int64_t columns) {
  check_packed("transpose_ternary", packed_in, rows, columns, packed_bytes(rows, columns));
  const at::Tensor packed = packed_in.contiguous();
  at::Tensor transposed = empty_packed(packed, columns, rows);
  const DeviceScope scope(packed);
  check_launch("transpose_ternary",
               setun::cuda::transpose_ternary(
                   {words_of(packed), rows, columns, words_of(transposed)}, scope.stream()));
  return transposed;
}

TensorTriple quantize_pack_absmean(const at::Tensor& w_in, int64_t group, double eps) {
  check_ternary("quantize_pack_absmean", w_in, group, eps);
  const at::Tensor w = kernel_input(w_in);
  const at::Tensor scale = absmean_scale("quantize_pack_absmean", w, group, eps);
  auto [packed, counts] = encode("quantize_pack_absmean", w, scale);
  return {packed, scale, counts};
}

TensorPair quantize_pack_scaled(const at::Tensor& w, const at::Tensor& scale) {
  check_same_device("quantize_pack_scaled", w, {scale});
  check_quantize_pack_scaled(w, scale);
  return encode("quantize_pack_scaled", kernel_input(w), scale.contiguous());
}

at::Tensor ternary_linear(const at::Tensor& codes_in, const at::Tensor& scale_in,
                          const at::Tensor& row_sums, const at::Tensor& packed_in, int64_t rows,
                          int64_t columns, const at::Tensor& w_scale, at::ScalarType dtype,
                          const std::optional<at::Tensor>& residual_in) {
  check_same_device("ternary_linear", codes_in,
                    {scale_in, row_sums, packed_in, w_scale, residual_in});
  check_ternary_linear(codes_in, scale_in, row_sums, packed_in, rows, columns, w_scale, dtype,
                       residual_in, packed_bytes(rows, columns));
  std::vector<int64_t> shape = codes_in.sizes().vec();
  shape.back() = rows;
  at::Tensor y = at::empty(shape, scale_in.options().dtype(dtype));
  if (y.numel() == 0) {
    return y;
  }
  const int64_t groups = w_scale.size(1), width = columns / groups, m = y.numel() / rows;
  const at::Tensor scale = scale_in.reshape({-1, 1}).contiguous();
  const at::Tensor residual = residual_in ? as_fp32(*residual_in) : at::Tensor();
  if (groups > 1 && width % kTileK != 0) {
    at::Tensor sum = product_by_groups(int8_rows(codes_in, columns), scale,
                                       unpack_ternary(packed_in, rows, columns, at::kChar), w_scale)
                         .view(shape);
    return y.copy_(residual.defined() ? sum.add_(residual) : sum);
  }
  // The operator's sums are of whole rows; a product of groups takes each group's own.
  const at::Tensor sums =
      groups == 1 ? row_sums.contiguous()
                  : int8_rows(codes_in, columns).view({-1, groups, width}).sum(-1, false, at::kInt);
  Product{codes_in, scale, sums,   packed_in.contiguous(), w_scale.contiguous(), residual, y,
          m,        rows,  columns}
      .run();
  return y;
}

}  // namespace setun::ops::cuda
