#include "run/saved_model.h"

#include <algorithm>

#include "run/run_folder.h"

namespace setun::run {

SavedModel load_model(const RunConfig& config, const std::string& checkpoint, int64_t vocab_size) {
  LoadedCheckpoint loaded = find_checkpoint(checkpoint);
  SavedModel saved{.assembled = assemble_model(config, vocab_size),
                   .path = loaded.path.string(),
                   .step = loaded.checkpoint.step};
  std::vector<NamedTensor> live;
  for (const auto& item : saved.assembled.model->named_parameters()) {
    live.push_back({item.key(), item.value()});
  }
  restore_tensors(loaded.checkpoint.model, live, "model");
  QuantContext& context = *saved.assembled.context;
  const int64_t step =
      std::clamp<int64_t>(saved.step, 0, std::max<int64_t>(total_steps(config) - 1, 0));
  StepState state;
  state.step = step;
  state.phase = context.plan().phase_at(step);
  state.ramp = context.plan().ramp_at(step);
  context.begin_step(state);
  return saved;
}

}  // namespace setun::run
