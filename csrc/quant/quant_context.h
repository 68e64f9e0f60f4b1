// The quantization context of one optimizer step: every weight is quantized once, then shared by
// micro-batches, recomputation and evaluation. Products use a leaf ("value"); its gradient
// accumulates over micro-batches, and backward_to_latents() runs each estimator once, before
// clipping. Life of a step: begin_step -> forward/backward (times accumulate) ->
// backward_to_latents -> optimizer.step -> invalidate.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "quant/estimators/integer_linear.h"
#include "quant/fake_quantize.h"
#include "quant/linear_input.h"
#include "quant/product_options.h"
#include "quant/quant_plan.h"
#include "quant/quantized_weight.h"

namespace setun {

class QuantContext {
 public:
  explicit QuantContext(QuantPlan plan, ProductOptions products = {});

  // Sets the state. Drops quantized weights when the phase or the ramp differs from the state they
  // were made in.
  void begin_step(const StepState& state);
  const StepState& state() const { return state_; }
  const QuantPlan& plan() const { return plan_; }

  // The spec of a layer now, and before the current phase (equal pointers when no ramp is running).
  struct ActiveSpec {
    const LinearSpec* now;
    const LinearSpec* before;  // nullptr when ramp == 1
    double ramp;
  };
  ActiveSpec spec(int64_t layer) const;

  // How the heads of attention are quantized now: nothing before the plan's attention_from.
  const AttentionQuantOptions& attention() const;

  // The weight to multiply with: the parameter itself when the layer's spec leaves weights alone or
  // holds projected weights, else the step's value (a leaf that requires grad when grad mode is on
  // and the latent does). Quantizes on first use.
  at::Tensor weight(int64_t layer, const at::Tensor& latent_OI);

  // What the layer's product reads of its input under the active spec: normalised, rotated,
  // quantized, made sparse; ramp included.
  // Consecutive layers with the same input and spec (q, k, v; gate, up) share one result.
  at::Tensor activation(int64_t layer, const LinearInput& input);

  // From now on watch is called with the input and the result of every product of a BitLinear, in
  // the order of the forward pass; an empty one is never called.
  using Watch = std::function<void(int64_t layer, const at::Tensor& x, const at::Tensor& y)>;
  void set_watch(Watch watch) { watch_ = std::move(watch); }
  void product_done(int64_t layer, const at::Tensor& x, const at::Tensor& y) const {
    if (watch_) {
      watch_(layer, x, y);
    }
  }

  // Lets go of the last input, which only a layer that follows could share: to be called behind a
  // model's last layer, since the loss comes when most is in memory.
  void release_input() { shared_ = {}; }

  // Whether the layer's product is one of integer codes now: its spec has them, no ramp is running
  // and the products are not simulated. Then integer_operands stands in for weight and activation.
  bool integer(int64_t layer) const;
  IntegerOperands integer_operands(int64_t layer, const LinearInput& input,
                                   const at::Tensor& latent_OI, at::ScalarType compute);

  // Moves the accumulated gradients of the values to the latents' .grad, through each layer's
  // estimator.
  void backward_to_latents();

  // To be called after the latents changed (optimizer step, checkpoint load).
  void invalidate();

  // Codes and scale of this step for a layer (quantizes when needed); undefined tensors without a
  // weight quantizer. Of an integer product there is no value.
  const QuantizedWeight& quantized(int64_t layer, const at::Tensor& latent_OI);

  // The latent of a layer whose parameter holds its projection (weight.storage: projected): what
  // quantized() reads.
  void set_latent(int64_t layer, at::Tensor latent_OI);

  // A parameter in a product's type. Without gradients it is converted once and kept until
  // invalidate(): generation would otherwise convert a head for every token.
  at::Tensor cast(const at::Tensor& parameter, at::ScalarType type);

  // Absmax codes of a parameter [O, I], 8 bits a row, kept as cast() keeps its copies: what an
  // 8-bit head multiplies with.
  const ops::RowCodes& row_codes(const at::Tensor& parameter_OI);
  InferenceHead inference_head() const { return products_.inference_head; }

  // Codes and scale of a latent that whoever wrote it has made already, or undefined ones; they
  // must be those of ops::quantize_pack_absmean(latent, 0, eps) to the bit (AdamW::ternary_of).
  using KnownTernary = std::function<ops::PackedWeight(const at::Tensor& latent, double eps)>;
  void set_known_ternary(KnownTernary known) { known_ternary_ = std::move(known); }

  // By layer: the eps with which an integer product of some phase reads such codes; absent: none.
  std::vector<std::optional<double>> ternary_eps_by_layer() const;

  // Times a weight was quantized since construction: tests prove that micro-batches and evaluation
  // share codes.
  int64_t quantize_count() const { return quantize_count_; }

  // While on, activation() records the health of each layer's input.
  void collect_input_health(bool on);
  // By layer; absent: nothing recorded.
  const std::vector<std::optional<InputHealth>>& input_health_by_layer() const {
    return input_health_;
  }

 private:
  struct Entry {
    QuantizedWeight weight;
    IntegerWeight integer;
    at::Tensor leaf;  // requires_grad, shares its memory; made on first use in grad mode
    at::Tensor latent;
    bool ready = false;
  };
  // The last input: what the next layer gets when it has the same one.
  struct SharedInput {
    std::optional<LinearInput> input;
    bool grad_mode = false;
    at::Tensor normed;  // undefined until a layer asks for it
    at::Tensor output;  // the simulated form, under these specs
    LinearSpec now, before;
    bool ramping = false;
    std::optional<IntegerInput> integer;  // the integer form, under this spec and compute type
    LinearSpec integer_spec;
    at::ScalarType compute = at::kFloat;
  };
  SharedInput& share(const LinearInput& input);
  const at::Tensor& normed(SharedInput& shared);
  Entry& prepare(int64_t layer, const at::Tensor& latent_OI);
  at::Tensor leaf_of(Entry& entry, const at::Tensor& value);
  void record_health(int64_t layer, const at::Tensor& output);  // of the shared input

  struct Cast {
    at::Tensor parameter, value;
  };

  QuantPlan plan_;
  ProductOptions products_;
  std::vector<Cast> casts_;
  std::vector<std::pair<at::Tensor, ops::RowCodes>> row_codes_;
  KnownTernary known_ternary_;
  Watch watch_;
  uint64_t draws_ = 0;  // integer products since begin_step: a key for each
  StepState state_;
  SharedInput shared_;
  std::vector<Entry> entries_;
  std::vector<at::Tensor> latents_;  // by layer; undefined: the latent is the parameter
  std::vector<std::optional<InputHealth>> input_health_;
  bool collect_input_health_ = false;
  int64_t quantize_count_ = 0;
};

}  // namespace setun
