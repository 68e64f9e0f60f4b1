// Attention's forward kernel and the steps that its backward kernel shares (attention_kernels.h has
// the formulas). A block of queries goes through panels of keys: scores, softmax row by row,
// product with the values; panels behind a strip of queries are never touched. The file that
// includes it sets the instruction set by its compile flags and names the build by
// SETUN_ATTENTION_KERNELS.
#include <algorithm>
#include <cmath>

#include "ops/cpu/attention_tiles_impl.h"
#include "ops/cpu/exp_impl.h"

namespace setun::ops::cpu {
namespace {

// Sizes with the padding that lets every tile be a whole one.
struct Padded {
  explicit Padded(const AttentionShape& s)
      : keys(round_up(s.keys, kPanel)),
        dim(round_up(s.dim, kPanel)),
        score_stride(keys + kWidth) {}  // an odd number of cache lines: rows meet in no set
  int64_t keys, dim, score_stride;
};

// The queries [begin, begin + count) and the keys that one of them sees.
struct QueryBlock {
  QueryBlock(const AttentionShape& s, int64_t begin_in)
      : begin(begin_in),
        count(std::min(kQueryBlock, s.queries - begin_in)),
        rows(round_up(count, kTileRows)),
        shape(s) {
    int64_t least = first(0);
    for (int64_t r = 1; r < count; ++r) {
      least = std::min(least, first(r));
    }
    keys_begin = round_down(least, kPanel);
  }
  int64_t first(int64_t r) const { return shape.first == nullptr ? 0 : shape.first[begin + r]; }
  // One behind the last key of a query.
  int64_t end(int64_t r) const { return shape.keys - shape.queries + begin + r + 1; }
  // The same of the strip of queries that holds r, up to whole panels.
  int64_t strip_end(int64_t r) const {
    return round_up(end(std::min(round_down(r, kTileRows) + kTileRows, count) - 1), kPanel);
  }
  int64_t keys_end() const { return strip_end(count - 1); }

  int64_t begin, count, rows;
  int64_t keys_begin = 0;
  const AttentionShape& shape;
};

// Hands out parts of the scratch memory, each on a cache line.
class Scratch {
 public:
  explicit Scratch(float* memory) : memory_(memory) {}
  float* take(int64_t count) {
    float* part = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += round_up(count, 16);
    return part;
  }
  int64_t used() const { return used_; }

 private:
  float* memory_;
  int64_t used_ = 0;
};

inline void read_queries(const QueryBlock& block, InMatrix m, float factor, int64_t padded,
                         float* to) {
  for (int64_t r = 0; r < block.count; ++r) {
    widen(row_of(m, block.begin + r), block.shape.dim, factor, padded, to + r * padded);
  }
  for (int64_t i = block.count * padded; i < block.rows * padded; ++i) {
    to[i] = 0;
  }
}

// scores(r, key) = q_r . column(key) for the panels that r's strip meets.
inline void score(const QueryBlock& block, const Padded& padded, const float* q,
                  const float* columns, float* scores) {
  const int64_t dim = block.shape.dim;
  for (int64_t key = block.keys_begin; key < block.keys_end(); key += kPanel) {
    for (int64_t r = 0; r < block.rows; r += kTileRows) {
      if (block.strip_end(r) > key) {
        tile<Sums::kFresh>({q + r * padded.dim, padded.dim, 1}, columns + key * dim, kPanel, dim,
                           scores + r * padded.score_stride + key, padded.score_stride);
      }
    }
  }
}

// to(r, :) = sum over keys of weights(r, key) rows(key, :).
inline void mix(const QueryBlock& block, const Padded& padded, const float* weights,
                const float* rows, float* to) {
  for (int64_t r = 0; r < block.rows; r += kTileRows) {
    const int64_t depth = block.strip_end(r) - block.keys_begin;
    for (int64_t column = 0; column < padded.dim; column += kPanel) {
      tile<Sums::kFresh>(
          {weights + r * padded.score_stride + block.keys_begin, padded.score_stride, 1},
          rows + column * padded.keys + block.keys_begin * kPanel, kPanel, depth,
          to + r * padded.dim + column, padded.dim);
    }
  }
}

// Zeros what the strip's panels hold outside the keys of a query; all of it for padding rows.
inline void clear_hidden(const QueryBlock& block, int64_t r, float* row) {
  const bool real = r < block.count;
  const int64_t end = block.strip_end(r), from = real ? block.first(r) : end;
  for (int64_t i = block.keys_begin; i < from; ++i) {
    row[i] = 0;
  }
  for (int64_t i = real ? block.end(r) : end; i < end; ++i) {
    row[i] = 0;
  }
}

struct RowSoftmax {
  float largest, sum;
};

// z becomes exp(z - max z). A NaN may get past the maximum, not past the sum.
inline RowSoftmax exponentials(float* z, int64_t n) {
  const float largest = lane_max(n, [z](int64_t at) { return z[at]; });
  for (int64_t i = 0; i < n; ++i) {
    z[i] = exp_of(z[i] - largest);
  }
  return {largest, blocked_sum(n, [z](int64_t at) { return z[at]; })};
}

struct ForwardScratch {
  ForwardScratch(const AttentionShape& s, const Padded& padded, Scratch& scratch)
      : columns(scratch.take(padded.keys * s.dim)),
        values(scratch.take(padded.keys * padded.dim)),
        q(scratch.take(kQueryBlock * padded.dim)),
        mixed(scratch.take(kQueryBlock * padded.dim)),
        scores(scratch.take(kQueryBlock * padded.score_stride)) {}
  float *columns, *values, *q, *mixed, *scores;
};

int64_t forward_scratch(const AttentionShape& s) {
  Scratch scratch(nullptr);
  ForwardScratch(s, Padded(s), scratch);
  return scratch.used();
}

void forward(const AttentionShape& s, InMatrix q, InMatrix k, InMatrix v, OutMatrix out, float* lse,
             float* memory) {
  const Padded padded(s);
  Scratch scratch(memory);
  const ForwardScratch at(s, padded, scratch);
  pack_columns(k, s.keys, s.dim, at.columns);
  pack_rows(v, s.keys, s.dim, padded.keys, at.values);
  for (int64_t begin = 0; begin < s.queries; begin += kQueryBlock) {
    const QueryBlock block(s, begin);
    read_queries(block, q, s.scale, padded.dim, at.q);
    score(block, padded, at.q, at.columns, at.scores);
    float inverse[kQueryBlock];
    for (int64_t r = 0; r < block.rows; ++r) {
      float* row = at.scores + r * padded.score_stride;
      if (r < block.count) {
        const int64_t from = block.first(r);
        const RowSoftmax softmax = exponentials(row + from, block.end(r) - from);
        inverse[r] = 1.0F / softmax.sum;
        lse[begin + r] = softmax.largest + std::log(softmax.sum);
      }
      clear_hidden(block, r, row);
    }
    mix(block, padded, at.scores, at.values, at.mixed);
    for (int64_t r = 0; r < block.count; ++r) {
      write(at.mixed + r * padded.dim, s.dim, inverse[r], row_of(out, begin + r));
    }
  }
}

}  // namespace
}  // namespace setun::ops::cpu

#include "ops/cpu/attention_backward_impl.h"

namespace setun::ops::cpu {

const AttentionKernels& SETUN_ATTENTION_KERNELS() {
  static const AttentionKernels kernels = {.forward_scratch = forward_scratch,
                                           .backward_scratch = backward_scratch,
                                           .forward = forward,
                                           .backward = backward};
  return kernels;
}

}  // namespace setun::ops::cpu
