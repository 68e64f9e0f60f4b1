#include "train/run_options.h"

namespace setun {
namespace {

void check_not_negative(Errors& errors, const char* key, double value) {
  if (!(value >= 0)) {
    errors.add(key, "must be 0 or more, got ", value);
  }
}

// Far above any run, and low enough that rounding tokens up to steps cannot overflow.
constexpr int64_t kMostCount = 1'000'000'000'000'000;
constexpr int64_t kMostAccumulate = 1'000'000;
constexpr int64_t kMostThreads = 4096;

void check_count(Errors& errors, const char* key, int64_t value) {
  if (value < 0 || value > kMostCount) {
    errors.add(key, "must be 0 to ", kMostCount, ", got ", value);
  }
}

}  // namespace

void RunOptions::validate(Errors& errors) const {
  check_not_negative(errors, "seed", static_cast<double>(seed));
  check_count(errors, "steps", steps);
  check_count(errors, "tokens", tokens);
  check_not_negative(errors, "minutes", minutes);
  check_not_negative(errors, "threads", static_cast<double>(threads));
  if (threads > kMostThreads) {
    errors.add("threads", "must be 0 (all cores) to ", kMostThreads, ", got ", threads);
  }
  if (steps == 0 && tokens == 0) {
    errors.add("steps", "how long? give run.steps or run.tokens");
  } else if (steps > 0 && tokens > 0) {
    errors.add("steps", "give one of run.steps and run.tokens, not both");
  }
  if (accumulate < 1 || accumulate > kMostAccumulate) {
    errors.add("accumulate", "must be 1 to ", kMostAccumulate, ", got ", accumulate);
  }
}

void EvalOptions::validate(Errors& errors) const {
  check_not_negative(errors, "every", static_cast<double>(every));
  check_not_negative(errors, "batches", static_cast<double>(batches));
  if (ngram < 0 || ngram > 5) {
    errors.add("ngram", "must be 0 (off) to 5, got ", ngram);
  }
}

void CheckpointOptions::validate(Errors& errors) const {
  check_not_negative(errors, "every", static_cast<double>(every));
  if (keep_last < 1) {
    errors.add("keep_last", "must be at least 1, got ", keep_last);
  }
}

void MetricsOptions::validate(Errors& errors) const {
  if (every < 1) {
    errors.add("every", "must be at least 1, got ", every);
  }
  check_not_negative(errors, "layers_every", static_cast<double>(layers_every));
  if (every >= 1 && layers_every % every != 0) {
    errors.add("layers_every", layers_every, " is not a multiple of metrics.every ", every);
  }
}

void GenerateOptions::validate(Errors& errors) const {
  check_not_negative(errors, "tokens", static_cast<double>(tokens));
  check_not_negative(errors, "temperature", temperature);
  check_not_negative(errors, "top_k", static_cast<double>(top_k));
  check_not_negative(errors, "seed", static_cast<double>(seed));
  if (!(top_p > 0 && top_p <= 1)) {
    errors.add("top_p", "must be in (0, 1], got ", top_p);
  }
}

}  // namespace setun
