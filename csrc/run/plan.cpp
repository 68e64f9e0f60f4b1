#include "run/plan.h"

#include "base/error.h"
#include "model/layer_table.h"

namespace setun::run {

int64_t total_steps(const RunConfig& config) {
  if (config.run.tokens == 0) {
    return config.run.steps;
  }
  const int64_t per_step = units_per_step(config);
  return (config.run.tokens + per_step - 1) / per_step;
}

int64_t units_per_step(const RunConfig& config) {
  const int64_t sequence = config.model.classifies() ? 1 : config.data.context;
  return config.data.batch * sequence * config.run.accumulate;
}

const char* unit_name(const RunConfig& config) {
  return config.model.classifies() ? "sample" : "token";
}

int64_t planned_vocab(const RunConfig& config) {
  if (config.model.vocab_size > 0 || config.model.classifies()) {
    return config.model.vocab_size;
  }
  const TokenizerOptions& tokenizer = config.data.tokenizer;
  if (tokenizer.kind == TokenizerKind::kBytes) {
    return 257;
  }
  return tokenizer.model.empty() ? tokenizer.vocab_size : 0;
}

QuantPlan make_plan(const ModelOptions& model, const RunConfig& config) {
  Errors errors;
  QuantPlan plan =
      resolve_quant_plan(config.quant, layer_table(model), total_steps(config), errors);
  std::string text;
  for (const Errors::Finding& finding : errors.findings()) {
    text += (text.empty() ? "" : "\n") + ("quant." + finding.key) + ": " + finding.message;
  }
  SETUN_CHECK(errors.empty(), text);
  return plan;
}

}  // namespace setun::run
