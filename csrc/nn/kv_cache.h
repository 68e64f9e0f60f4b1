// What generation keeps of the tokens so far: keys and values of every block, and the rotary tables
// of their positions.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "nn/rope.h"

namespace setun {

// Keys and values of every block, [B, kv_heads, capacity, head_dim], of which the first `length`
// positions are filled; after fake quantization, where there is one. The capacity doubles when it
// is full, so a token costs a copy of itself and not of everything before it. For use without
// gradients.
struct KvCache {
  std::vector<at::Tensor> keys;
  std::vector<at::Tensor> values;
  int64_t length = 0;  // advanced by the model after its last block, not by the blocks

  // Writes a block's new keys and values [B, kv_heads, T, head_dim] behind the cached ones and
  // returns all of them.
  std::pair<at::Tensor, at::Tensor> extend(int64_t block, const at::Tensor& keys_BHTD,
                                           const at::Tensor& values_BHTD);

  // extend() by one token and its attention over all of them in one operator: query [B, heads, 1,
  // head_dim], key and value [B, kv_heads, 1, head_dim] -> [B, 1, heads * head_dim].
  at::Tensor attend(int64_t block, const at::Tensor& query_BH1D, const at::Tensor& key_BH1D,
                    const at::Tensor& value_BH1D);

 private:
  // Room in a block's tensors for `added` positions behind the filled ones.
  void reserve(int64_t block, const at::Tensor& keys_BHTD, const at::Tensor& values_BHTD);
};

}  // namespace setun
