#include "train/trainer.h"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "ops/devices.h"
#include "train/replay.h"
#include "train/scalar_text.h"

namespace setun {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<at::Tensor> weights_of(const std::vector<NamedLinear>& linears) {
  std::vector<at::Tensor> weights;
  for (const NamedLinear& item : linears) {
    weights.push_back(item.linear->weight);
  }
  return weights;
}

bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

}  // namespace

void share_ternary(QuantContext& context, AdamW& optimizer,
                   const std::vector<NamedLinear>& linears) {
  const std::vector<std::optional<double>> eps = context.ternary_eps_by_layer();
  std::vector<AdamW::TernaryWeight> wanted;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    if (eps.at(i)) {
      wanted.push_back({linears[i].linear->weight, *eps[i]});
    }
  }
  optimizer.keep_ternary(wanted);
  context.set_known_ternary([&optimizer](const at::Tensor& weight, double with_eps) {
    return optimizer.ternary_of(weight, with_eps);
  });
}

Trainer::Trainer(TrainerParts parts, TrainerOptions options)
    : parts_(parts),
      options_(std::move(options)),
      layer_metrics_(parts_.context.plan().layers),
      linears_(parts_.task.linears()),
      projected_(parts_.context, weights_of(linears_)),
      device_(parts_.task.parameters().at(0).tensor.device()) {
  share_ternary(parts_.context, parts_.optimizer, linears_);
}

Trainer::~Trainer() { parts_.context.set_known_ternary({}); }

StepState Trainer::state_at(int64_t step) const {
  const int64_t at = std::min(step, options_.total_steps - 1);  // evaluation after the last step
  const ScheduleValues values =
      schedule_at(options_.schedule, options_.optim, at, options_.total_steps);
  const QuantPlan& plan = parts_.context.plan();
  return {.step = at,
          .phase = plan.phase_at(at),
          .ramp = plan.ramp_at(at),
          .lr = values.lr,
          .weight_decay = values.weight_decay,
          .rng_key = step_key(static_cast<uint64_t>(options_.run.seed), at)};
}

TrainResult Trainer::run(const std::atomic<bool>& stop_requested) {
  const Clock::time_point start = Clock::now();
  TrainResult result;
  parts_.checkpoints.remove_leftovers();
  if (options_.run.cuda_graph) {
    graph_.emplace(parts_.task, parts_.context);
  }
  projected_.project(state_at(step_));
  while (step_ < options_.total_steps) {
    if (stop_requested.load()) {
      result.reason = StopReason::kSignal;
      break;
    }
    if (options_.run.minutes > 0 && seconds_since(start) >= 60 * options_.run.minutes) {
      result.reason = StopReason::kTimeLimit;
      break;
    }
    train_step();
  }
  if (result.reason == StopReason::kFinished && last_eval_step_ != step_) {
    evaluate_now();
  }
  if (last_saved_step_ != step_ || parts_.checkpoints.last_save_failed()) {
    save();
  }
  graph_.reset();
  parts_.checkpoints.wait();
  SETUN_CHECK(!parts_.checkpoints.last_save_failed(), "training stopped at step ", step_,
              ", but its state could not be saved (the warning above says why). Make room and run "
              "the same command again: it goes on from the last checkpoint");
  result.steps = step_;
  result.train_loss = last_loss_;
  result.validation = last_eval_;
  result.tokens_per_second =
      train_seconds_ > 0 ? static_cast<double>(process_tokens_) / train_seconds_ : 0;
  result.checkpoint_stall_share =
      train_seconds_ > 0 ? parts_.checkpoints.stall_seconds() / train_seconds_ : 0;
  return result;
}

void Trainer::train_step() {
  const Clock::time_point start = Clock::now();
  // 1. Sample: all micro-batches first, because the loss divides by the valid targets of the whole
  // step.
  const StepState state = state_at(step_);
  const StepSample sample = parts_.task.sample(options_.run.accumulate);
  valid_targets_ =
      ops::to_device(at::scalar_tensor(static_cast<double>(sample.valid_targets), at::kFloat),
                     device_, valid_targets_);
  // 2. Forward, backward, and the gradients of the latent weights.
  const bool layer_record = due(step_ + 1, options_.metrics.layers_every);
  parts_.context.begin_step(state);
  parts_.context.collect_input_health(layer_record);
  const StepTensors tensors =
      graph_ && !layer_record ? graph_->compute(state, [this] { return compute(); }) : compute();
  const StepLoss loss = read(tensors, sample);
  std::vector<LayerRecord> layers;
  if (layer_record) {
    layers = layer_metrics_.measure(parts_.context, linears_, parts_.optimizer.clip_factor());
    parts_.task.complete(layers);
  }
  // 3. Update.
  update(loss.loss, state);
  step_ += 1;
  projected_.project(state_at(step_));
  tokens_ += sample.samples;
  last_loss_ = loss.loss;
  last_auxiliary_ = loss.auxiliary;
  const double seconds = seconds_since(start);
  interval_ = {interval_.loss_sum + loss.loss, interval_.auxiliary_sum + loss.auxiliary.value_or(0),
               interval_.steps + 1, interval_.tokens + sample.samples, interval_.seconds + seconds};
  train_seconds_ += seconds;
  process_tokens_ += sample.samples;
  if (layer_record) {
    parts_.metrics.layers(step_, layers);
  }
  after_step(state);
}

// Gradients gather in the quantized weights of the step over its micro-batches; then each estimator
// runs once. Sums stay on the device until everything has been launched.
StepTensors Trainer::compute() {
  const auto micro_batches = static_cast<double>(options_.run.accumulate);
  StepTensors tensors;
  const auto add = [](at::Tensor& sum, const at::Tensor& term) {
    sum = sum.defined() ? sum + term : term;
  };
  for (int64_t i = 0; i < options_.run.accumulate; ++i) {
    const MicroBatchLoss loss = parts_.task.loss(i, parts_.context);
    add(tensors.loss_sum, loss.sum.detach().to(at::kDouble));
    at::Tensor objective = loss.sum / valid_targets_;
    if (loss.auxiliary.defined()) {
      objective = objective + loss.auxiliary / micro_batches;
      add(tensors.auxiliary, loss.auxiliary.detach().to(at::kDouble).div(micro_batches));
    }
    objective.backward();
  }
  parts_.context.backward_to_latents();
  projected_.backward_to_latents();
  tensors.grad_squares = parts_.optimizer.grad_squares();
  return tensors;
}

Trainer::StepLoss Trainer::read(const StepTensors& tensors, const StepSample& sample) {
  StepLoss loss{.loss = tensors.loss_sum.item<double>() / static_cast<double>(sample.valid_targets),
                .auxiliary = std::nullopt};
  if (tensors.auxiliary.defined()) {
    loss.auxiliary = tensors.auxiliary.item<double>();
  }
  const at::Tensor& squares = tensors.grad_squares;
  last_grad_norm_ = parts_.optimizer.clip_grad_norm(options_.optim.clip_norm,
                                                    squares.defined() ? squares.item<double>() : 0);
  return loss;
}

void Trainer::update(double loss, const StepState& state) {
  if (std::isfinite(loss) && std::isfinite(last_grad_norm_)) {
    apply_update(state);
  } else if (options_.run.non_finite == NonFinitePolicy::kStop) {
    reject_non_finite(loss, state);
  } else {
    log_warning("step ", step_ + 1, ": loss ", loss, ", gradient norm ", last_grad_norm_,
                "; the update is skipped (run.non_finite: skip)");
    parts_.optimizer.zero_grad();
  }
  parts_.context.invalidate();
}

void Trainer::apply_update(const StepState& state) {
  const auto launch = [this] {
    projected_.before_step();
    parts_.optimizer.update();
    projected_.after_step();
  };
  parts_.optimizer.begin_step(state.lr, state.weight_decay);
  if (graph_) {
    graph_->update(launch);
  } else {
    launch();
  }
  parts_.optimizer.end_step();
}

void Trainer::reject_non_finite(double loss, const StepState& state) {
  std::string where = "every parameter is finite";
  for (const NamedTensor& tensor : parts_.task.parameters()) {
    if (!tensor.tensor.isfinite().all().item<bool>()) {
      where = "parameter " + tensor.name + " is not finite";
      break;
    }
  }
  const std::string gradient = parts_.optimizer.first_non_finite_gradient();
  const std::string layer =
      replay_non_finite(parts_.task, parts_.context, state, options_.run.accumulate);
  fail("step ", step_ + 1, ": loss ", loss, ", gradient norm ", last_grad_norm_, "; ", where,
       gradient.empty() ? "" : ", first non-finite gradient: " + gradient,
       layer.empty() ? "" : "; the step replayed: " + layer,
       ". The run is not saved in this state; its last checkpoint is at step ",
       std::max<int64_t>(last_saved_step_, 0),
       ". Lower optim.lr, raise schedule.warmup, set optim.clip_norm, or set run.non_finite=skip");
}

void Trainer::after_step(const StepState& state) {
  if (due(step_, options_.metrics.every) || step_ == options_.total_steps) {
    const double steps = static_cast<double>(interval_.steps);
    const StepRecord record{
        .step = step_,
        .loss = interval_.loss_sum / steps,
        .lr = state.lr,
        .weight_decay = state.weight_decay,
        .grad_norm = last_grad_norm_,
        .tokens = tokens_,
        .phase = state.phase,
        .ramp = state.ramp,
        .auxiliary_loss =
            last_auxiliary_ ? std::optional(interval_.auxiliary_sum / steps) : std::nullopt,
        .tokens_per_second = static_cast<double>(interval_.tokens) / interval_.seconds,
        .seconds = train_seconds_};
    parts_.metrics.step(record);
    interval_ = {};
  }
  parts_.metrics.progress(
      {.step = step_,
       .loss = last_loss_,
       .lr = state.lr,
       .weight_decay = state.weight_decay,
       .grad_norm = last_grad_norm_,
       .tokens = tokens_,
       .phase = state.phase,
       .ramp = state.ramp,
       .auxiliary_loss = last_auxiliary_,
       .tokens_per_second = static_cast<double>(process_tokens_) / train_seconds_,
       .seconds = train_seconds_});
  const double best_before = best_loss_;
  if (due(step_, options_.eval.every) || step_ == options_.total_steps) {
    evaluate_now();
  }
  const bool improved = best_loss_ != best_before && options_.checkpoint.keep_best;
  // After a failed save (disk full) every step is the next opportunity, ten steps apart.
  const bool retry = parts_.checkpoints.last_save_failed() && step_ % 10 == 0;
  if (due(step_, options_.checkpoint.every) || (improved && options_.checkpoint.every > 0) ||
      retry) {
    save();
  }
}

void Trainer::evaluate_now() {
  if (!parts_.task.can_evaluate()) {
    return;
  }
  parts_.context.begin_step(state_at(step_));  // the codes made here serve the next training step
  last_eval_ = parts_.task.evaluate(parts_.context);
  last_eval_step_ = step_;
  if (best_step_ < 0 || last_eval_.loss < best_loss_) {
    best_loss_ = last_eval_.loss;
    best_step_ = step_;
  }
  parts_.metrics.eval({.step = step_,
                       .loss = last_eval_.loss,
                       .perplexity = last_eval_.perplexity,
                       .bits_per_byte = last_eval_.bits_per_byte,
                       .accuracy = last_eval_.accuracy});
}

std::vector<NamedTensor> Trainer::optimizer_tensors() const {
  std::vector<NamedTensor> tensors;
  for (const NamedParameter& item : parts_.optimizer.state()) {
    tensors.push_back({item.name, item.tensor});
  }
  for (const auto& [name, latent] : projected_.state()) {
    tensors.push_back({name, latent});
  }
  return tensors;
}

void Trainer::save() {
  parts_.metrics.flush();
  Checkpoint checkpoint;
  checkpoint.step = step_;
  checkpoint.phase = state_at(step_).phase;
  checkpoint.tokens = tokens_;
  checkpoint.loader = parts_.task.position();
  checkpoint.data_fingerprint = parts_.task.data_fingerprint();
  checkpoint.best_loss = best_loss_;
  checkpoint.best_step = best_step_;
  checkpoint.config_yaml = options_.config_yaml;
  checkpoint.model = parts_.task.parameters();
  checkpoint.optimizer = optimizer_tensors();
  checkpoint.metrics = layer_metrics_.state();
  checkpoint.extra = {{"interval.loss_sum", exact_text(interval_.loss_sum)},
                      {"interval.auxiliary_sum", exact_text(interval_.auxiliary_sum)},
                      {"interval.steps", std::to_string(interval_.steps)},
                      {"last.loss", exact_text(last_loss_)},
                      {"last.grad_norm", exact_text(last_grad_norm_)},
                      {"last.eval_loss", exact_text(last_eval_.loss)},
                      {"last.eval_perplexity", exact_text(last_eval_.perplexity)},
                      {"last.eval_bits_per_byte", exact_text(last_eval_.bits_per_byte)},
                      {"last.eval_accuracy", exact_text(last_eval_.accuracy)},
                      {"last.eval_tokens", std::to_string(last_eval_.tokens)},
                      {"last.eval_step", std::to_string(last_eval_step_)}};
  parts_.checkpoints.save_async(checkpoint);
  last_saved_step_ = step_;
}

void Trainer::resume(const Checkpoint& checkpoint) {
  parts_.task.check_fingerprint(checkpoint.data_fingerprint);
  restore_tensors(checkpoint.model, parts_.task.parameters(), "model");
  restore_tensors(checkpoint.optimizer, optimizer_tensors(), "optimizer");
  parts_.context.invalidate();
  layer_metrics_.restore(checkpoint.metrics);
  parts_.task.seek(checkpoint.loader);
  step_ = checkpoint.step;
  tokens_ = checkpoint.tokens;
  best_loss_ = checkpoint.best_loss;
  best_step_ = checkpoint.best_step;
  last_saved_step_ = step_;
  const ScalarReader scalars(checkpoint.extra);
  interval_.loss_sum = scalars.real("interval.loss_sum");
  interval_.auxiliary_sum = scalars.real("interval.auxiliary_sum");
  interval_.steps = scalars.integer("interval.steps");
  last_loss_ = scalars.real("last.loss");
  last_grad_norm_ = scalars.real("last.grad_norm");
  last_eval_.loss = scalars.real("last.eval_loss");
  last_eval_.perplexity = scalars.real("last.eval_perplexity");
  last_eval_.bits_per_byte = scalars.real("last.eval_bits_per_byte");
  last_eval_.accuracy = scalars.real("last.eval_accuracy");
  last_eval_.tokens = scalars.integer("last.eval_tokens");
  last_eval_step_ = scalars.integer("last.eval_step");
}

}  // namespace setun
