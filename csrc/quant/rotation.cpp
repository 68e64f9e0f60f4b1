#include "quant/rotation.h"

#include <ATen/ops/empty.h>

#include <map>
#include <mutex>
#include <tuple>

#include "base/counter_rng.h"
#include "base/error.h"
#include "ops/ops.h"

namespace setun {

at::Tensor rotation_signs(const RotationSpec& spec, int64_t width) {
  const uint64_t key = random_key(static_cast<uint64_t>(spec.seed), str("rotation.signs.", width));
  at::Tensor signs = at::empty({width}, at::kFloat);
  float* out = signs.mutable_data_ptr<float>();
  for (int64_t i = 0; i < width; ++i) {
    out[i] = random_bits(key, static_cast<uint64_t>(i)) >> 63 == 0 ? 1.0F : -1.0F;
  }
  return signs;
}

namespace {

// The signs on v's device: made and sent there once a process, since every product of a step asks.
at::Tensor signs_beside(const at::Tensor& v, const RotationSpec& spec, int64_t width) {
  using Key = std::tuple<int64_t, int64_t, at::DeviceType, at::DeviceIndex>;
  static std::mutex mutex;
  static auto& made = *new std::map<Key, at::Tensor>;  // outlives every device's library
  const std::lock_guard lock(mutex);
  at::Tensor& signs = made[{spec.seed, width, v.device().type(), v.device().index()}];
  if (!signs.defined()) {
    signs = rotation_signs(spec, width).to(v.device());
  }
  return signs;
}

}  // namespace

at::Tensor rotate(const at::Tensor& v, const RotationSpec& spec) {
  if (spec.kind == RotationKind::kNone) {
    return v;
  }
  const int64_t width = v.size(-1);
  const at::Tensor signed_v = spec.signs ? v.to(at::kFloat) * signs_beside(v, spec, width) : v;
  return ops::hadamard(signed_v, spec.resolved_block(width));
}

at::Tensor rotate_back(const at::Tensor& v, const RotationSpec& spec) {
  if (spec.kind == RotationKind::kNone) {
    return v;
  }
  const int64_t width = v.size(-1);
  const at::Tensor back = ops::hadamard(v, spec.resolved_block(width));
  return spec.signs ? back * signs_beside(v, spec, width) : back;
}

}  // namespace setun
