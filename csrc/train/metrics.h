// What a run reports: metrics.jsonl and metrics.csv always, layers.jsonl per layer, TensorBoard on request, and a progress
// line on a terminal (log lines in a pipe). Records are keyed by step; cut_to(step) drops what a resumed run will redo.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "train/run_options.h"

namespace setun {

struct StepRecord {
  int64_t step = 0;  // optimizer steps done
  double loss = 0, lr = 0, weight_decay = 0, grad_norm = 0;
  int64_t tokens = 0;  // training tokens seen
  int64_t phase = 0;
  double ramp = 1;
  double tokens_per_second = 0, seconds = 0;  // times: the only fields that may differ after a resume
};

struct EvalRecord {
  int64_t step = 0;
  double loss = 0, perplexity = 0, bits_per_byte = 0;
};

struct LayerRecord {
  std::string layer;
  double minus = 0, zero = 0, plus = 0;  // shares of the codes
  double flip_rate = -1;                 // share of codes that differ from the last layer record; -1: first record
  double scale = 0;                      // mean scale
  double clip_share = -1;                // activation codes at the ends of the range; -1: no quantizer
  double grad_norm = 0;
};

class Metrics {
 public:
  // Opens the files in append mode after cutting every record beyond `resumed_step` (0 for a fresh run).
  Metrics(const fs::path& run_folder, const MetricsOptions& options, int64_t resumed_step, int64_t total_steps);
  ~Metrics();
  void step(const StepRecord& record);
  void eval(const EvalRecord& record);
  void layers(int64_t step, const std::vector<LayerRecord>& records);
  void progress(const StepRecord& record);  // terminal line, at most 10 a second
  void flush();  // to the operating system; called before every checkpoint

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace setun
