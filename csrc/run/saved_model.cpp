#include "run/saved_model.h"

#include <algorithm>

#include "run/plan.h"
#include "run/run_folder.h"

namespace setun::run {

RestoredFrom restore_model(const RunConfig& config, const std::string& checkpoint,
                           const std::vector<NamedTensor>& parameters, QuantContext& context) {
  const LoadedCheckpoint loaded = find_checkpoint(checkpoint);
  restore_tensors(loaded.checkpoint.model, parameters, "model");
  const int64_t step =
      std::clamp<int64_t>(loaded.checkpoint.step, 0, std::max<int64_t>(total_steps(config) - 1, 0));
  StepState state;
  state.step = step;
  state.phase = context.plan().phase_at(step);
  state.ramp = context.plan().ramp_at(step);
  context.begin_step(state);
  return {.path = loaded.path.string(), .step = loaded.checkpoint.step};
}

}  // namespace setun::run
