// What a run reports: metrics, eval and layers, each as .jsonl and .csv (columns: docs/formats.md),
// TensorBoard event files on request, and a progress line on a terminal (log lines in a pipe).
// Records are keyed by step, so that a resumed run can drop those it will make again. A full disk
// stops nothing: records wait in memory (base/output_file.h).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "train/run_options.h"

namespace setun {

struct StepRecord {
  int64_t step = 0;  // optimizer steps done
  double loss = 0, lr = 0, weight_decay = 0, grad_norm = 0;
  int64_t tokens = 0;  // training tokens, or samples of a classifier, seen
  int64_t phase = 0;
  double ramp = 1;
  std::optional<double>
      auxiliary_loss;  // mean of what the task adds to the objective; absent: nothing
  double tokens_per_second = 0,
         seconds = 0;  // times: the only fields that may differ after a resume
};

struct EvalRecord {
  int64_t step = 0;
  double loss = 0;
  double perplexity = 0, bits_per_byte = 0;  // of language models; 0: none
  double accuracy = -1;                      // of classifiers, 0 to 1; -1: none
};

// Absent: the layer has no weight quantizer (shares, flip_rate, scale), no earlier record to
// compare with (flip_rate), no integer activation codes (clip_share), an
// input left as it is (input_zeros), or no gradient.
struct LayerRecord {
  std::string layer;
  std::optional<double> minus, zero, plus;  // shares of the codes -1, 0, +1
  std::optional<double> flip_rate;          // share of codes that differ from the last layer record
  std::optional<double> scale;              // mean scale
  std::optional<double> clip_share;         // activation codes at the ends of the range
  std::optional<double> input_zeros;        // zeros among what the product reads
  std::optional<double>
      grad_norm;  // of the latent weight, as the optimizer sees it (after clipping)
  std::optional<double>
      expert_load;  // of a router: share of its choices that the busiest expert got
};

class Metrics {
 public:
  // Opens the files in append mode after cutting every record beyond `resumed_step` (0 for a fresh
  // run), event files included even when TensorBoard is off now. `unit`: what StepRecord::tokens
  // counts, "token" or "sample".
  Metrics(const fs::path& run_folder, const MetricsOptions& options, int64_t resumed_step,
          int64_t total_steps, const std::string& unit = "token");
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
