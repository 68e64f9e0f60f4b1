#include "quant/quant_context.h"

#include <ATen/core/grad_mode.h>

#include "base/error.h"

namespace setun {
namespace {

// (1 - ramp) * before + ramp * now.
at::Tensor blend(const at::Tensor& before, const at::Tensor& now, double ramp) {
  return before.mul(1 - ramp).add(now, ramp);
}

bool changes_weight(const QuantContext::ActiveSpec& spec) {
  return spec.now->changes_weight() || (spec.before != nullptr && spec.before->changes_weight());
}

// What one spec makes of a latent: itself when it leaves weights alone.
QuantizedWeight weight_of(const at::Tensor& latent, const LinearSpec& spec, uint64_t draws_key) {
  if (!spec.changes_weight()) {
    return {.codes = {}, .scale = {}, .value = latent.detach()};
  }
  return quantize_weight(latent, spec, draws_key);
}

}  // namespace

QuantContext::QuantContext(QuantPlan plan)
    : plan_(std::move(plan)),
      entries_(plan_.layers.size()),
      latents_(plan_.layers.size()),
      input_health_(plan_.layers.size()) {
  SETUN_ASSERT(!plan_.phases.empty(), "a plan has at least one phase");
}

void QuantContext::begin_step(const StepState& state) {
  SETUN_ASSERT(state.phase >= 0 && state.phase < static_cast<int64_t>(plan_.phases.size()),
               "phase ", state.phase, " of ", plan_.phases.size());
  if (state.phase != state_.phase || state.ramp != state_.ramp) {
    invalidate();
  }
  shared_ = {};
  state_ = state;
}

QuantContext::ActiveSpec QuantContext::spec(int64_t layer) const {
  const auto phase = static_cast<std::size_t>(state_.phase);
  const auto index = static_cast<std::size_t>(layer);
  const LinearSpec* now = &plan_.phases[phase].specs[index];
  const bool ramping = phase > 0 && state_.ramp < 1;
  return {now, ramping ? &plan_.phases[phase - 1].specs[index] : nullptr, state_.ramp};
}

const AttentionQuantOptions& QuantContext::attention() const {
  static const AttentionQuantOptions full_precision;
  return state_.step >= plan_.attention_from ? plan_.attention : full_precision;
}

const QuantizedWeight& QuantContext::quantized(int64_t layer, const at::Tensor& latent_OI) {
  Entry& entry = entries_[static_cast<std::size_t>(layer)];
  if (entry.ready) {
    return entry.weight;
  }
  const c10::NoGradGuard no_grad;
  const ActiveSpec active = spec(layer);
  const at::Tensor& kept = latents_[static_cast<std::size_t>(layer)];
  entry.latent = kept.defined() ? kept : latent_OI;
  entry.ready = true;
  if (!changes_weight(active)) {
    entry.weight = {};
    return entry.weight;
  }
  ++quantize_count_;
  const uint64_t key = draws_key(state_, layer);
  entry.weight = weight_of(entry.latent, *active.now, key);
  if (active.before != nullptr && !active.before->same_weight(*active.now)) {
    entry.weight.value =
        blend(weight_of(entry.latent, *active.before, key).value, entry.weight.value, active.ramp);
  }
  return entry.weight;
}

at::Tensor QuantContext::weight(int64_t layer, const at::Tensor& latent_OI) {
  if (spec(layer).now->weight.storage == WeightStorage::kProjected) {
    return latent_OI;
  }
  const QuantizedWeight& quantized_weight = quantized(layer, latent_OI);
  if (!quantized_weight.value.defined()) {
    return latent_OI;
  }
  if (!c10::GradMode::is_enabled() || !latent_OI.requires_grad()) {
    return quantized_weight.value;
  }
  Entry& entry = entries_[static_cast<std::size_t>(layer)];
  if (!entry.leaf.defined()) {
    entry.leaf = quantized_weight.value.detach().requires_grad_(true);  // shares the memory
  }
  return entry.leaf;
}

at::Tensor QuantContext::activation(int64_t layer, const at::Tensor& x) {
  const ActiveSpec active = spec(layer);
  const LinearSpec& now = *active.now;
  const bool ramping = active.before != nullptr && !active.before->same_input(now);
  if ((!now.changes_input() && !ramping) || x.numel() == 0) {  // an expert without tokens
    return x;
  }
  const LinearSpec before = ramping ? *active.before : LinearSpec{};
  const bool same =
      shared_.input.defined() && shared_.input.is_same(x) && shared_.now.same_input(now) &&
      shared_.ramping == ramping && shared_.before.same_input(before) &&
      shared_.output.requires_grad() == (c10::GradMode::is_enabled() && x.requires_grad());
  if (!same) {
    at::Tensor output = quantize_input(x, now);
    if (ramping) {
      output = blend(quantize_input(x, before), output, active.ramp);
    }
    shared_ = {x, std::move(output), now, before, ramping};
  }
  if (collect_input_health_) {
    input_health_[static_cast<std::size_t>(layer)] = input_health(x, shared_.output, now);
  }
  return shared_.output;
}

void QuantContext::backward_to_latents() {
  const c10::NoGradGuard no_grad;
  shared_ = {};  // lets go of the graph
  for (std::size_t layer = 0; layer < entries_.size(); ++layer) {
    Entry& entry = entries_[layer];
    if (!entry.leaf.defined() || !entry.leaf.grad().defined()) {
      continue;
    }
    const LinearSpec& now = *spec(static_cast<int64_t>(layer)).now;
    at::Tensor gradient = weight_gradient(entry.leaf.grad(), entry.latent, now);
    at::Tensor& latent_gradient = entry.latent.mutable_grad();
    latent_gradient =
        latent_gradient.defined() ? latent_gradient.add(gradient) : std::move(gradient);
    entry.leaf.mutable_grad().reset();
  }
}

void QuantContext::set_latent(int64_t layer, at::Tensor latent_OI) {
  latents_[static_cast<std::size_t>(layer)] = std::move(latent_OI);
}

void QuantContext::invalidate() {
  shared_ = {};
  for (Entry& entry : entries_) {
    entry = Entry{};
  }
}

void QuantContext::collect_input_health(bool on) {
  collect_input_health_ = on;
  if (on) {
    input_health_.assign(input_health_.size(), std::nullopt);
  }
}

}  // namespace setun
