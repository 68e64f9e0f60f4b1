#include "quant/quant_context.h"

#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "quant/quantizers/weight_codes.h"

namespace setun {
namespace {

constexpr double kCodesEps = 1e-30;  // of an 8-bit head's rows: no row of a head is too small

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

QuantContext::QuantContext(QuantPlan plan, ProductOptions products)
    : plan_(std::move(plan)),
      products_(products),
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
  draws_ = 0;
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

bool QuantContext::integer(int64_t layer) const {
  const ActiveSpec active = spec(layer);
  const bool steady = active.before == nullptr || *active.before == *active.now;
  return products_.products == Products::kInteger && steady && active.now->has_integer_form();
}

std::vector<std::optional<double>> QuantContext::ternary_eps_by_layer() const {
  std::vector<std::optional<double>> all(plan_.layers.size());
  for (const QuantPlan::Phase& phase : plan_.phases) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const LinearSpec& spec = phase.specs[i];
      const bool whole = packing_group(spec.weight, plan_.layers[i].in_features) == 0;
      if (products_.products == Products::kInteger && spec.has_integer_form() && whole &&
          !spec.rotation.rotates_weight()) {
        all[i] = spec.weight.eps;
      }
    }
  }
  return all;
}

QuantContext::Entry& QuantContext::prepare(int64_t layer, const at::Tensor& latent_OI) {
  Entry& entry = entries_[static_cast<std::size_t>(layer)];
  if (entry.ready) {
    return entry;
  }
  const c10::NoGradGuard no_grad;
  const ActiveSpec active = spec(layer);
  const at::Tensor& kept = latents_[static_cast<std::size_t>(layer)];
  entry.latent = kept.defined() ? kept : latent_OI;
  entry.ready = true;
  entry.weight = {};
  if (!changes_weight(active)) {
    return entry;
  }
  ++quantize_count_;
  const uint64_t key = draws_key(state_, layer);
  if (integer(layer)) {
    entry.integer = integer_weight(
        entry.latent, *active.now,
        {.draws_key = key,
         .with_transposed = products_.input_gradient != InputGradient::kExact,
         .known = known_ternary_ ? known_ternary_(entry.latent, active.now->weight.eps)
                                 : ops::PackedWeight{}});
    return entry;
  }
  entry.weight = weight_of(entry.latent, *active.now, key);
  if (active.before != nullptr && !active.before->same_weight(*active.now)) {
    entry.weight.value =
        blend(weight_of(entry.latent, *active.before, key).value, entry.weight.value, active.ramp);
  }
  return entry;
}

const QuantizedWeight& QuantContext::quantized(int64_t layer, const at::Tensor& latent_OI) {
  Entry& entry = prepare(layer, latent_OI);
  if (integer(layer) && !entry.weight.codes.defined()) {
    const c10::NoGradGuard no_grad;
    entry.weight = {ops::unpack_ternary(entry.integer.packed, at::kChar), entry.integer.scale, {}};
  }
  return entry.weight;
}

at::Tensor QuantContext::leaf_of(Entry& entry, const at::Tensor& value) {
  if (!entry.leaf.defined()) {
    entry.leaf = value.detach().requires_grad_(true);  // shares the memory
  }
  return entry.leaf;
}

at::Tensor QuantContext::weight(int64_t layer, const at::Tensor& latent_OI) {
  if (spec(layer).now->weight.storage == WeightStorage::kProjected) {
    return latent_OI;
  }
  Entry& entry = prepare(layer, latent_OI);
  SETUN_ASSERT(!integer(layer), "layer ", layer, " multiplies codes: its weight has no value");
  if (!entry.weight.value.defined()) {
    return latent_OI;
  }
  const bool gradients = c10::GradMode::is_enabled() && latent_OI.requires_grad();
  return gradients ? leaf_of(entry, entry.weight.value) : entry.weight.value;
}

QuantContext::SharedInput& QuantContext::share(const LinearInput& input) {
  const bool grad_mode = c10::GradMode::is_enabled();
  if (!shared_.input || !shared_.input->same(input) || shared_.grad_mode != grad_mode) {
    shared_ = {};
    shared_.input = input;
    shared_.grad_mode = grad_mode;
  }
  return shared_;
}

const at::Tensor& QuantContext::normed(SharedInput& shared) {
  if (!shared.normed.defined()) {
    shared.normed = shared.input->normed();
  }
  return shared.normed;
}

void QuantContext::record_health(int64_t layer, const at::Tensor& output) {
  const c10::NoGradGuard no_grad;
  const at::Tensor x = shared_.normed.defined() ? shared_.normed : shared_.input->normed();
  input_health_[static_cast<std::size_t>(layer)] = input_health(x, output, *spec(layer).now);
}

at::Tensor QuantContext::activation(int64_t layer, const LinearInput& input) {
  const ActiveSpec active = spec(layer);
  const LinearSpec& now = *active.now;
  const bool ramping = active.before != nullptr && !active.before->same_input(now);
  SharedInput& shared = share(input);
  const at::Tensor& x = normed(shared);
  if ((!now.changes_input() && !ramping) || x.numel() == 0) {  // an expert without tokens
    return x;
  }
  const LinearSpec before = ramping ? *active.before : LinearSpec{};
  const bool same = shared.output.defined() && shared.now.same_input(now) &&
                    shared.ramping == ramping && shared.before.same_input(before);
  if (!same) {
    shared.output = quantize_input(x, now);
    if (ramping) {
      shared.output = blend(quantize_input(x, before), shared.output, active.ramp);
    }
    shared.now = now;
    shared.before = before;
    shared.ramping = ramping;
  }
  if (collect_input_health_) {
    record_health(layer, shared.output);
  }
  return shared.output;
}

IntegerOperands QuantContext::integer_operands(int64_t layer, const LinearInput& input,
                                               const at::Tensor& latent_OI,
                                               at::ScalarType compute) {
  const LinearSpec& now = *spec(layer).now;
  SharedInput& shared = share(input);
  if (!shared.integer || !shared.integer_spec.same_input(now) || shared.compute != compute) {
    shared.integer = integer_input(input, now, compute);
    shared.integer_spec = now;
    shared.compute = compute;
  }
  if (collect_input_health_) {
    const at::Tensor& codes = shared.integer->rows.codes;
    const bool packed = codes.scalar_type() == at::kByte;
    record_health(layer, packed ? ops::unpack_int4(codes, input.x.size(-1)) : codes);
  }
  Entry& entry = prepare(layer, latent_OI);
  const bool gradients = c10::GradMode::is_enabled() && latent_OI.requires_grad();
  return {.input = *shared.integer,
          .weight = entry.integer,
          .leaf = gradients ? leaf_of(entry, entry.latent) : at::Tensor(),
          .compute = compute,
          .gradient = products_.input_gradient,
          .draws_key = random_bits(draws_key(state_, layer), draws_++)};
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

at::Tensor QuantContext::cast(const at::Tensor& parameter, at::ScalarType type) {
  if (c10::GradMode::is_enabled() || parameter.scalar_type() == type) {
    return parameter.to(type);
  }
  for (const Cast& kept : casts_) {
    if (kept.parameter.is_same(parameter) && kept.value.scalar_type() == type) {
      return kept.value;
    }
  }
  casts_.push_back({parameter, parameter.to(type)});
  return casts_.back().value;
}

const ops::RowCodes& QuantContext::row_codes(const at::Tensor& parameter_OI) {
  for (const auto& [parameter, codes] : row_codes_) {
    if (parameter.is_same(parameter_OI)) {
      return codes;
    }
  }
  const c10::NoGradGuard no_grad;
  row_codes_.emplace_back(parameter_OI,
                          ops::quantize_absmax_rows(parameter_OI.detach(), 8, kCodesEps));
  return row_codes_.back().second;
}

void QuantContext::set_latent(int64_t layer, at::Tensor latent_OI) {
  latents_[static_cast<std::size_t>(layer)] = std::move(latent_OI);
}

void QuantContext::invalidate() {
  shared_ = {};
  casts_.clear();
  row_codes_.clear();
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
