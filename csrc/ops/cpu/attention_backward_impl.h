// Attention's backward kernel. With p = exp(z - lse), z = scale q k^T, and delta_t = d_out_t .
// out_t: dv = p^T d_out, dz = p (d_out v^T - delta), dq = scale dz k, dk = dz^T (scale q)
// (2307.08691 section 2.2). The gradients of keys and values add up over blocks of queries and over
// the query heads that share them, in that order. Included by attention_impl.h only.
#pragma once

namespace setun::ops::cpu {
namespace {

struct BackwardScratch {
  BackwardScratch(const AttentionShape& s, const Padded& padded, Scratch& scratch)
      : key_columns(scratch.take(padded.keys * s.dim)),
        value_columns(scratch.take(padded.keys * s.dim)),
        keys(scratch.take(padded.keys * padded.dim)),
        d_keys(scratch.take(padded.keys * padded.dim)),
        d_values(scratch.take(padded.keys * padded.dim)),
        q(scratch.take(kQueryBlock * padded.dim)),
        d_out(scratch.take(kQueryBlock * padded.dim)),
        dq(scratch.take(kQueryBlock * padded.dim)),
        p(scratch.take(kQueryBlock * padded.score_stride)),
        dz(scratch.take(kQueryBlock * padded.score_stride)) {}
  float *key_columns, *value_columns, *keys, *d_keys, *d_values, *q, *d_out, *dq, *p, *dz;
};

int64_t backward_scratch(const AttentionShape& s) {
  Scratch scratch(nullptr);
  BackwardScratch(s, Padded(s), scratch);
  return scratch.used();
}

// Scores become probabilities, and the products with the values the scores' gradients.
void score_gradients(const QueryBlock& block, const Padded& padded, const AttentionHead& head,
                     const BackwardScratch& at) {
  const int64_t dim = block.shape.dim;
  for (int64_t r = 0; r < block.rows; ++r) {
    float* p = at.p + r * padded.score_stride;
    float* dz = at.dz + r * padded.score_stride;
    if (r < block.count) {
      const float* d_out = at.d_out + r * padded.dim;
      const float delta = with_elements(row_of(head.out, block.begin + r), [d_out, dim](auto* out) {
        return blocked_sum(dim, [=](int64_t i) { return d_out[i] * load(out, i); });
      });
      const float lse = head.lse[block.begin + r];
      for (int64_t i = block.first(r); i < block.end(r); ++i) {
        const float probability = exp_of(p[i] - lse);
        p[i] = probability;
        dz[i] = probability * (dz[i] - delta);
      }
    }
    clear_hidden(block, r, p);
    clear_hidden(block, r, dz);
  }
}

// to(key, :) += sum over the block's queries of weights(query, key) rows(query, :). A strip of keys
// starts at the first query that sees one of them.
void gather(const QueryBlock& block, const Padded& padded, const float* weights, const float* rows,
            float* to) {
  for (int64_t key = block.keys_begin; key < block.keys_end(); key += kTileRows) {
    const int64_t start = std::max<int64_t>(0, key + 1 - block.end(0));
    if (start >= block.rows) {
      break;
    }
    for (int64_t column = 0; column < padded.dim; column += kPanel) {
      tile<Sums::kAdded>({weights + start * padded.score_stride + key, 1, padded.score_stride},
                         rows + start * padded.dim + column, padded.dim, block.rows - start,
                         to + key * padded.dim + column, padded.dim);
    }
  }
}

void backward_head(const AttentionShape& s, const Padded& padded, const AttentionHead& head,
                   const BackwardScratch& at) {
  for (int64_t begin = 0; begin < s.queries; begin += kQueryBlock) {
    const QueryBlock block(s, begin);
    read_queries(block, head.q, s.scale, padded.dim, at.q);
    read_queries(block, head.d_out, 1.0F, padded.dim, at.d_out);
    score(block, padded, at.q, at.key_columns, at.p);
    score(block, padded, at.d_out, at.value_columns, at.dz);
    score_gradients(block, padded, head, at);
    gather(block, padded, at.p, at.d_out, at.d_values);
    gather(block, padded, at.dz, at.q, at.d_keys);
    mix(block, padded, at.dz, at.keys, at.dq);
    for (int64_t r = 0; r < block.count; ++r) {
      write(at.dq + r * padded.dim, s.dim, s.scale, row_of(head.dq, begin + r));
    }
  }
}

void backward(const AttentionShape& s, InMatrix k, InMatrix v, const AttentionHead* head,
              int64_t heads, OutMatrix dk, OutMatrix dv, float* memory) {
  const Padded padded(s);
  Scratch scratch(memory);
  const BackwardScratch at(s, padded, scratch);
  pack_columns(k, s.keys, s.dim, at.key_columns);
  pack_columns(v, s.keys, s.dim, at.value_columns);
  pack_rows(k, s.keys, s.dim, padded.keys, at.keys);
  for (int64_t i = 0; i < padded.keys * padded.dim; ++i) {
    at.d_keys[i] = at.d_values[i] = 0;
  }
  for (int64_t h = 0; h < heads; ++h) {
    backward_head(s, padded, head[h], at);
  }
  for (int64_t key = 0; key < s.keys; ++key) {
    write(at.d_keys + key * padded.dim, s.dim, 1.0F, row_of(dk, key));
    write(at.d_values + key * padded.dim, s.dim, 1.0F, row_of(dv, key));
  }
}

}  // namespace
}  // namespace setun::ops::cpu
