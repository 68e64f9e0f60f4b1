#include "nn/kv_cache.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "ops/few_rows_ops.h"
#include "ops/step_ops.h"

namespace setun {
namespace {

// Room for `needed` positions in a cache tensor, keeping the first `length`.
void reserve(at::Tensor& cached, const at::Tensor& like, int64_t length, int64_t needed) {
  if (cached.defined() && cached.size(2) >= needed) {
    return;
  }
  const int64_t capacity = cached.defined() ? std::max(needed, 2 * cached.size(2)) : needed;
  at::Tensor grown =
      at::empty({like.size(0), like.size(1), capacity, like.size(3)}, like.options());
  if (cached.defined()) {
    grown.narrow(2, 0, length).copy_(cached.narrow(2, 0, length));
  }
  cached = grown;
}

}  // namespace

void KvCache::reserve(int64_t block, const at::Tensor& keys_BHTD, const at::Tensor& values_BHTD) {
  const auto slots = static_cast<size_t>(block) + 1;
  keys.resize(std::max(keys.size(), slots));
  values.resize(keys.size());
  const int64_t total = length + keys_BHTD.size(2);
  setun::reserve(keys[block], keys_BHTD, length, total);
  setun::reserve(values[block], values_BHTD, length, total);
}

std::pair<at::Tensor, at::Tensor> KvCache::extend(int64_t block, const at::Tensor& keys_BHTD,
                                                  const at::Tensor& values_BHTD) {
  reserve(block, keys_BHTD, values_BHTD);
  const int64_t added = keys_BHTD.size(2), total = length + added;
  keys[block].narrow(2, length, added).copy_(keys_BHTD);
  values[block].narrow(2, length, added).copy_(values_BHTD);
  return {keys[block].narrow(2, 0, total), values[block].narrow(2, 0, total)};
}

at::Tensor KvCache::attend(int64_t block, const at::Tensor& query_BH1D, const at::Tensor& key_BH1D,
                           const at::Tensor& value_BH1D) {
  if (!query_BH1D.is_cpu()) {
    const auto [all_keys, all_values] = extend(block, key_BH1D, value_BH1D);
    return ops::causal_attention(query_BH1D, all_keys, all_values, {}).transpose(1, 2).flatten(2);
  }
  reserve(block, key_BH1D, value_BH1D);
  return ops::cached_attention(query_BH1D, key_BH1D, value_BH1D, keys[block], values[block],
                               length);
}

}  // namespace setun
