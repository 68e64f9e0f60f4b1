// One block a token. The row stays in shared memory from the first stage to the last; a warp
// encodes 128 columns at a time, four a lane.
#include "tokens.h"

#include "draws.cuh"
#include "token_select.cuh"

namespace setun::cuda {

// The statistic a row is quantized by. NaN in `scale` means codes of 0.
struct Grid {
  float multiplier, scale, minimum, low, high, shrink;
};

__device__ __forceinline__ Grid absmean_grid(const TokenParams& p, const Row& row, float largest,
                                             float high) {
  const float sum = row_sum(row, true, [](float x) { return fabsf(x); });
  const float b = p.multiplier * (sum / static_cast<float>(row.columns)), root = sqrtf(high);
  const bool finite = largest == largest;
  return {root / (b + p.eps), finite ? b / root : quiet_nan(), 0, -high - 1, high, 1};
}

__device__ __forceinline__ Grid offset_grid(const TokenParams& p, const Row& row, float largest) {
  const float high = static_cast<float>((1 << p.bits) - 1);
  const float inf = __uint_as_float(0x7f800000u);
  float least = inf, most = -inf;
  for_quads(row, [&](int first, const float*) {
    for (int i = first; i < min(first + 4, row.columns); ++i) {
      least = fminf(least, row[i]);
      most = fmaxf(most, row[i]);
    }
  });
  const float lowest =
      across_warps(row, -lanes_max(-least), [](float a, float b) { return fminf(a, b); });
  const float highest =
      across_warps(row, lanes_max(most), [](float a, float b) { return fmaxf(a, b); });
  const float range = highest - lowest;
  const bool finite = largest == largest && is_finite(range);
  return {0,
          finite ? fmaxf(range, p.eps) / high : quiet_nan(),
          largest == largest ? lowest + 0.0f : quiet_nan(),
          0,
          high,
          1};
}

// `key` is the largest of the thread's quads.
__device__ __forceinline__ Grid grid_of(const TokenParams& p, const Row& row, unsigned key) {
  offer_key(row, kGridLargest, key);
  __syncthreads();  // also: the row is visible to all
  const float largest = largest_offered(row, kGridLargest);
  const float high = static_cast<float>((1 << p.bits) / 2 - 1);
  const bool finite = largest == largest;
  switch (p.rule) {
    case TokenRule::kAbsmax:
    case TokenRule::kAbsmaxStochastic: {
      const float s = finite ? high / fmaxf(largest, p.eps) : quiet_nan();
      return {s, s, 0, -high - 1, high, 1};
    }
    case TokenRule::kAbsmean:
      return absmean_grid(p, row, largest, high);
    case TokenRule::kE2m1: {
      const float shrink = largest > 1e37f ? 0.0625f : 1.0f;
      return {largest * shrink, finite ? largest / 12.0f : quiet_nan(), 0, -12, 12, shrink};
    }
    case TokenRule::kStep:
      return {0, finite ? fmaxf(largest, p.eps) / high : quiet_nan(), 0, -high - 1, high, 1};
    case TokenRule::kOffset:
      return offset_grid(p, row, largest);
    default:
      return {};
  }
}

// The nearest of 0, .5, 1, 1.5, 2, 3, 4, 6 with z's sign; NaN stays, -0 becomes 0.
__device__ __forceinline__ float e2m1(float z) {
  if (z != z) {
    return z;
  }
  const float magnitude = fminf(fabsf(z), 6.0f);
  const float per_step = magnitude < 2.0f ? 2.0f : (magnitude < 4.0f ? 1.0f : 0.5f);
  const float step = magnitude < 2.0f ? 0.5f : (magnitude < 4.0f ? 1.0f : 2.0f);
  const float rounded = ((magnitude * per_step + kRound) - kRound) * step;
  return (z < 0 ? -rounded : rounded) + 0.0f;
}

__device__ __forceinline__ int stochastic_code(const Grid& grid, float x, float draw) {
  const float v = floorf(x * grid.multiplier + draw);
  return static_cast<int>(fminf(fmaxf(v, grid.low), grid.high));
}

// Codes of four columns, the first at `index` of the tensor; the rule is looked at once.
__device__ __forceinline__ void encode_four(const TokenParams& p, const Grid& grid,
                                            const float (&x)[4], int64_t index, int (&code)[4]) {
  if (grid.scale != grid.scale) {
    return;  // NaN: codes stay 0
  }
  if (p.rule == TokenRule::kAbsmax || p.rule == TokenRule::kAbsmean) {
    for (int b = 0; b < 4; ++b) {
      code[b] = rounded_code(x[b] * grid.multiplier, grid.low, grid.high);
    }
    return;
  }
  switch (p.rule) {
    case TokenRule::kAbsmaxStochastic:
      for (int b = 0; b < 4; ++b) {
        code[b] = stochastic_code(grid, x[b], uniform_draw(p.draw_key, index + b));
      }
      return;
    case TokenRule::kE2m1:
      for (int b = 0; b < 4 && grid.multiplier > 0; ++b) {
        code[b] = static_cast<int>(2.0f * e2m1(6.0f * (x[b] * grid.shrink) / grid.multiplier));
      }
      return;
    case TokenRule::kStep:
    case TokenRule::kOffset:
      for (int b = 0; b < 4; ++b) {
        code[b] = rounded_code((x[b] - grid.minimum) / grid.scale, grid.low, grid.high);
      }
      return;
    default:
      return;
  }
}

__device__ __forceinline__ float value_of(const TokenParams& p, const Grid& grid, int code) {
  const float c = static_cast<float>(code);
  if (p.rule == TokenRule::kAbsmax || p.rule == TokenRule::kAbsmaxStochastic) {
    return c / grid.multiplier;
  }
  return p.rule == TokenRule::kOffset ? grid.minimum + c * grid.scale : c * grid.scale;
}

// Four columns of a lane, at column `first`.
struct Quad {
  float x[4];
  int code[4];
  unsigned kept;  // a bit each
};
constexpr unsigned kWhole = 15;

__device__ __forceinline__ void store_mask(const TokenParams& p, int64_t r, int first,
                                           const Quad& quad) {
  for (int b = 0; p.mask != nullptr && b < 4 && first + b < p.columns; ++b) {
    p.mask[r * p.columns + first + b] = static_cast<uint8_t>((quad.kept >> b) & 1);
  }
  if (p.mask_bits == nullptr) {
    return;
  }
  unsigned word = quad.kept << (lane_id() % 8 * 4);
  for (int o = 1; o < 8; o *= 2) {
    word |= __shfl_xor_sync(kAllLanes, word, o);
  }
  const int words = (p.columns + 31) / 32, index = first / 32;
  if (lane_id() % 8 == 0 && index < words) {
    p.mask_bits[r * words + index] = word;
  }
}

__device__ __forceinline__ void store_codes(const TokenParams& p, int64_t r, int first,
                                            const Quad& quad) {
  const int stride = static_cast<int>(p.code_stride);
  if (p.codes == nullptr || first >= stride) {
    return;
  }
  int8_t* to = p.codes + r * p.code_stride + first;
  if (stride % 4 == 0) {
    store_four(to, quad.code);
    return;
  }
  for (int b = 0; b < 4 && first + b < stride; ++b) {
    to[b] = static_cast<int8_t>(quad.code[b]);
  }
}

// A word holds columns first .. first + 3 and those 32 further on, which lane ^ 8 has.
__device__ __forceinline__ void store_int4(const TokenParams& p, int64_t r, int first,
                                           const Quad& quad) {
  if (p.int4 == nullptr) {
    return;
  }
  const int high = first % kTileK / 32;
  unsigned word = 0;
  for (int b = 0; b < 4; ++b) {
    word |= (static_cast<unsigned>(quad.code[b]) & 15u) << (8 * b + 4 * high);
  }
  word |= __shfl_xor_sync(kAllLanes, word, 8);
  const int64_t tiles = tiles_k(p.columns);
  if (high == 0 && first < tiles * kTileK) {
    p.int4[int4_word(r, first, tiles)] = word;
  }
}

template <class T>
__device__ __forceinline__ void store_fake(const TokenParams& p, int64_t r, int first, bool fours,
                                           const Quad& quad, const Grid& grid) {
  if (p.fake == nullptr || first >= p.columns) {
    return;
  }
  float v[4] = {};
  for (int b = 0; b < 4; ++b) {
    v[b] = p.rule == TokenRule::kRoundE2m1 ? e2m1(quad.x[b]) : value_of(p, grid, quad.code[b]);
  }
  store_columns(static_cast<T*>(p.fake) + r * p.columns, first, p.columns, fours, v);
}

// Adds a lane's codes to `total`, of its row, or to the shared sums of groups: 16 lanes share 64
// columns, which are in one group.
__device__ __forceinline__ void add_sums(const TokenParams& p, int first, const Quad& quad,
                                         int* sums, int& total) {
  int sum = (quad.code[0] + quad.code[1]) + (quad.code[2] + quad.code[3]);
  if (p.sum_group == 0) {
    total += sum;
    return;
  }
  for (int o = 1; o < 16; o *= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, o);
  }
  if (lane_id() % 16 == 0 && first < p.columns) {
    atomicAdd(&sums[first / p.sum_group], sum);
  }
}

__device__ __forceinline__ Quad encode_quad(const TokenParams& p, const Row& row, int64_t r,
                                            int first, const float* x, const Grid& grid,
                                            const Selection& selection) {
  Quad quad{};
  if (first >= p.columns) {
    return quad;
  }
  load_four(x, quad.x);
  quad.kept = row.fours || first + 4 <= p.columns ? kWhole : (1u << (p.columns - first)) - 1;
  for (int b = 0; selection.keep > 0 && b < 4; ++b) {
    if (first + b < p.columns && !kept(row, selection, first + b, quad.x[b])) {
      quad.kept &= ~(1u << b);
    }
  }
  encode_four(p, grid, quad.x, r * p.columns + first, quad.code);
  for (int b = 0; quad.kept != kWhole && b < 4; ++b) {
    quad.code[b] = ((quad.kept >> b) & 1) != 0 ? quad.code[b] : 0;
  }
  return quad;
}

// Codes of all columns and what is made of them; the last tile is padded.
template <class T>
__device__ __forceinline__ void encode_row(const TokenParams& p, const Row& row, int64_t r,
                                           const Grid& grid, const Selection& selection,
                                           int* sums) {
  const int end = static_cast<int>(divide_up(p.columns, kTileK) * kTileK);
  const bool more =
      p.mask != nullptr || p.mask_bits != nullptr || p.int4 != nullptr || p.fake != nullptr;
  int total = 0, first = 4 * static_cast<int>(threadIdx.x);
  const float* x = row.quad(first);
#pragma unroll 1
  for (int chunk = warp_id() * 128; chunk < end; chunk += 4 * kRowThreads) {
    const Quad quad = encode_quad(p, row, r, first, x, grid, selection);
    store_codes(p, r, first, quad);
    if (more) {
      store_mask(p, r, first, quad);
      store_int4(p, r, first, quad);
      store_fake<T>(p, r, first, row.fours, quad, grid);
    }
    if (p.sums != nullptr) {
      add_sums(p, first, quad, sums, total);
    }
    first += 4 * kRowThreads;
    x += 4 * kRowThreads;
  }
  total = __reduce_add_sync(kAllLanes, total);
  if (lane_id() == 0 && total != 0) {
    atomicAdd(&sums[0], total);
  }
}

// The row, times column_scale; returns the largest key of the thread's quads.
template <class T>
__device__ __forceinline__ unsigned load_row(const TokenParams& p, const Row& row, int64_t r) {
  const T* x = static_cast<const T*>(p.x) + r * p.columns;
  unsigned key = 0;
  for_quads(row, [&](int first, float* quad) {
    float v[4], scale[4];
    load_columns(x, first, p.columns, row.fours, v);
    if (p.column_scale != nullptr) {
      load_columns(p.column_scale, first, p.columns, row.fours, scale);
      for (int b = 0; b < 4; ++b) {
        v[b] *= scale[b];
      }
    }
    store_four(quad, v);
    key = max(key, largest_key(v));
  });
  return key;
}

__device__ __forceinline__ unsigned normalize(const TokenParams& p, const Row& row, int64_t r,
                                              unsigned key) {
  if (p.centre) {
    key = subtract_mean(row);
  }
  if (p.norm) {
    const float factor = rms_factor(row, key, p.norm_eps);
    key = scale_row(row, factor, p.gain);
    if (p.factor != nullptr && threadIdx.x == 0) {
      p.factor[r] = factor;
    }
  }
  return key;
}

__device__ __forceinline__ void store_dense(const TokenParams& p, const Row& row, int64_t r) {
  for_quads(row, [&](int first, const float* quad) {
    float v[4];
    load_four(quad, v);
    store_columns(p.dense + r * p.columns, first, p.columns, row.fours, v);
  });
}

// kWidth: 4 where all rows are whole quads that are aligned in global memory, else 1.
template <class T, int kWidth>
__global__ void __launch_bounds__(kRowThreads) token_kernel(TokenParams p) {
  SETUN_DYN_SHARED(float, data);
  SETUN_SHARED(float, parts, [kRowParts]);
  SETUN_SHARED(unsigned, counters, [kCounters]);
  SETUN_SHARED(unsigned, histogram, [kDigits * kCopies]);
  SETUN_SHARED(int, sums, [kMaxTokenSums]);
  const int64_t r = blockIdx.x;
  const Row row{data, p.columns, kWidth == 4, parts, counters};
  const int groups = p.sum_group == 0 ? 1 : (p.columns + p.sum_group - 1) / p.sum_group;
  if (threadIdx.x < kCounters) {
    counters[threadIdx.x] = 0;
  }
  for (int g = static_cast<int>(threadIdx.x); g < groups; g += kRowThreads) {
    sums[g] = 0;
  }
  unsigned key = load_row<T>(p, row, r);
  __syncthreads();  // all is cleared
  key = normalize(p, row, r, key);
  if (p.hadamard_block > 1) {
    key = hadamard(row, p.hadamard_block);
  }
  if (p.dense != nullptr) {
    store_dense(p, row, r);
  }
  const Selection selection = select_largest(row, p.keep, p.every, histogram);
  const Grid grid = grid_of(p, row, key);
  encode_row<T>(p, row, r, grid, selection, sums);
  __syncthreads();
  for (int g = static_cast<int>(threadIdx.x); p.sums != nullptr && g < groups; g += kRowThreads) {
    p.sums[r * groups + g] = sums[g];
  }
  if (threadIdx.x == 0 && p.scale != nullptr) {
    p.scale[r] = grid.scale;
  }
  if (threadIdx.x == 0 && p.minimum != nullptr) {
    p.minimum[r] = grid.minimum;
  }
}

namespace {

bool valid(const TokenParams& p) {
  const bool block =
      p.hadamard_block == 0 || ((p.hadamard_block & (p.hadamard_block - 1)) == 0 &&
                                p.hadamard_block <= 16384 && p.columns % p.hadamard_block == 0);
  const bool mask = p.keep == 0 || (p.keep >= 1 && p.keep <= p.every && p.columns % p.every == 0);
  const bool strides = p.codes == nullptr ||
                       (p.code_stride >= p.columns && p.code_stride <= tiles_k(p.columns) * kTileK);
  const bool quantized = p.rule != TokenRule::kNone && p.rule != TokenRule::kRoundE2m1;
  return p.rows >= 1 && p.columns >= 1 && p.columns <= kMaxTokenColumns && block && mask &&
         strides && p.sum_group % kTileK == 0 && quantized == (p.bits >= 2 && p.bits <= 8);
}

// Whether rows are made of whole quads, aligned wherever they are read and written.
template <class T>
bool in_fours(const TokenParams& p) {
  return p.columns % 4 == 0 && aligned(p.x, 4 * sizeof(T)) && aligned(p.fake, 4 * sizeof(T)) &&
         aligned(p.gain, 16) && aligned(p.column_scale, 16) && aligned(p.dense, 16);
}

template <class T>
cudaError_t launch_tokens(const TokenParams& p, cudaStream_t stream) {
  const size_t smem = static_cast<size_t>(divide_up(p.columns, 32)) * 32 * sizeof(float);
  const dim3 grid(static_cast<unsigned>(p.rows)), block(kRowThreads);
  return in_fours<T>(p) ? launch(token_kernel<T, 4>, grid, block, smem, stream, p)
                        : launch(token_kernel<T, 1>, grid, block, smem, stream, p);
}

}  // namespace

cudaError_t transform_tokens(const TokenParams& p, cudaStream_t stream) {
  if (!valid(p)) {
    return cudaErrorInvalidValue;
  }
  return p.is_bf16 ? launch_tokens<bf16>(p, stream) : launch_tokens<float>(p, stream);
}

}  // namespace setun::cuda
