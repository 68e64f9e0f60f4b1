// Rules within and across sections. What needs the layer table (patterns, group sizes) is
// run/check.cpp's.
#include "config/decode.h"

namespace setun::config {
namespace {

constexpr double kMostTokens = 1e18;  // counted in 64 bits

template <class T>
void add_section(Errors& all, const char* name, const T& options) {
  Errors errors;
  options.validate(errors);
  all.add_all(name, errors);
}

void check_point(Errors& errors, const char* key, const StepPoint& point, const RunConfig& config) {
  const int64_t steps = config.run.steps;
  if (!point.is_fraction && steps > 0 && point.value > static_cast<double>(steps)) {
    errors.add(key, "is step ", point.value, ", but the run has ", steps, " steps");
  }
}

// Model and data fit each other, and no key of language models stands beside a classifier.
void check_kinds(Errors& errors, const RunConfig& config) {
  const DataKind data = config.data.kind;
  const char* fits = "text";
  bool fit = data == DataKind::kText;
  switch (config.model.kind) {
    case ModelKind::kDecoder:
      break;
    case ModelKind::kMlp:
      fits = "xor or csv";
      fit = data == DataKind::kXor || data == DataKind::kCsv;
      break;
    case ModelKind::kBagOfWords:
      fits = "folders";
      fit = data == DataKind::kFolders;
      break;
  }
  if (!fit) {
    errors.add("data.kind", "is ", enum_name(data), ", but model.kind ",
               enum_name(config.model.kind), " takes ", fits);
  }
  if (!config.model.classifies()) {
    return;
  }
  if (config.run.tokens > 0) {
    errors.add("run.tokens", "counts tokens of text; a classifier takes run.steps");
  }
  if (config.run.recompute_blocks) {
    errors.add("run.recompute_blocks", "is of decoders; model.kind is ",
               enum_name(config.model.kind));
  }
  if (config.run.inference_head != InferenceHead::kCompute) {
    errors.add("run.inference_head", "is of decoders; model.kind is ",
               enum_name(config.model.kind));
  }
  if (config.quant.attention.quantizes()) {
    errors.add("quant.attention", "is of decoders; model.kind is ", enum_name(config.model.kind));
  }
  if (config.eval.ngram > 0) {
    errors.add("eval.ngram", "is of language models; model.kind is ", enum_name(config.model.kind));
  }
}

}  // namespace

Errors validate(const RunConfig& config) {
  Errors errors;
  add_section(errors, "model", config.model);
  add_section(errors, "data", config.data);
  add_section(errors, "optim", config.optim);
  add_section(errors, "schedule", config.schedule);
  add_section(errors, "quant", config.quant);
  add_section(errors, "run", config.run);
  add_section(errors, "eval", config.eval);
  add_section(errors, "checkpoint", config.checkpoint);
  add_section(errors, "metrics", config.metrics);
  add_section(errors, "generate", config.generate);
  check_kinds(errors, config);
  if (!config.model.classifies() && config.data.context > config.model.max_context) {
    errors.add("data.context", config.data.context, " tokens exceed model.max_context ",
               config.model.max_context, "; raise model.max_context or lower data.context");
  }
  const double tokens =
      static_cast<double>(config.run.steps) * static_cast<double>(config.run.accumulate) *
      static_cast<double>(config.data.batch) * static_cast<double>(config.data.context);
  if (tokens > kMostTokens) {
    errors.add("run.steps", "gives ", tokens, " training tokens; the most is ", kMostTokens);
  }
  check_point(errors, "schedule.warmup", config.schedule.warmup, config);
  check_point(errors, "schedule.decay", config.schedule.decay, config);
  check_point(errors, "schedule.switch_at", config.schedule.switch_at, config);
  return errors;
}

}  // namespace setun::config
