// estimate_size's training memory against the bytes LibTorch really held at the peak of an
// optimizer step.
#include "bench/counting_allocator.h"
#include "eval/token_loss.h"
#include "model/tiny_model.h"
#include "optim/adamw.h"
#include "support/catch.h"

namespace setun {
namespace {

int64_t measured_peak(const ModelOptions& options, const LinearSpec& spec, int64_t batch,
                      int64_t context, bool recompute_blocks) {
  auto& memory = bench::CountingAllocator::instance();
  const int64_t before = memory.live();
  test::TinyModel tiny(options, spec);
  std::vector<NamedParameter> parameters;
  for (const auto& item : tiny.model->named_parameters()) {
    parameters.push_back({item.key(), item.value()});
  }
  AdamW optimizer(make_param_groups(parameters, layer_table(options), {}), {});
  memory.take_peak();
  for (int64_t step = 0; step < 2; ++step) {
    const at::Tensor tokens = test::random_tokens({batch, context}, options.vocab_size, step);
    tiny.context.begin_step({.step = step});
    token_loss(tiny.model, tiny.context, tokens, tokens, {.recompute_blocks = recompute_blocks})
        .sum.backward();
    tiny.context.backward_to_latents();
    optimizer.clip_grad_norm(1.0);
    optimizer.step(1e-3, 0.1);
    tiny.context.invalidate();
  }
  return memory.take_peak() - before;
}

TEST_CASE("the training memory estimate is within a factor of 1.25 of the measured peak") {
  const ModelOptions small{.vocab_size = 2000, .hidden = 128, .layers = 4, .heads = 4, .ffn = 384};
  ModelOptions prenorm = small, per_linear = small;
  prenorm.norm.placement = NormPlacement::kPreNorm;
  prenorm.kv_heads = 1;
  per_linear.norm.placement = NormPlacement::kPerLinear;
  ModelOptions deep{.vocab_size = 300, .hidden = 96, .layers = 12, .heads = 3, .ffn = 256};
  deep.tied_embeddings = false;
  ModelOptions mixture = small, multi_head = per_linear;
  mixture.moe = {.experts = 6, .active = 2, .expert_ffn = 192, .every = 1};
  multi_head.moe = {.experts = 12, .active = 2, .heads = 2, .expert_ffn = 128, .every = 2};
  for (const ModelOptions& options : {small, prenorm, per_linear, deep, mixture, multi_head}) {
    for (const LinearSpec& spec : {LinearSpec{}, test::ternary_spec()}) {
      for (const bool recompute : {false, true}) {
        for (const int64_t batch : {1, 8}) {
          INFO("placement " << enum_name(options.norm.placement) << " layers " << options.layers
                            << " heads " << options.moe.heads << " experts " << options.moe.experts
                            << " ternary " << spec.quantizes() << " recompute " << recompute
                            << " batch " << batch);
          const auto measured =
              static_cast<double>(measured_peak(options, spec, batch, 128, recompute));
          const SizeEstimate size = estimate_size(options, test::uniform_plan(options, spec), batch,
                                                  128, recompute, Products::kInteger);
          INFO("measured " << measured / 1e6 << " MB, estimated " << size.training_bytes / 1e6
                           << " MB");
          CHECK(size.training_bytes / measured < 1.25);
          CHECK(measured / size.training_bytes < 1.25);
        }
      }
    }
  }
}

}  // namespace
}  // namespace setun
