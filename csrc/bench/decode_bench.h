// `setun bench decode`: tokens per second of a prompt and of generation, batch 1, with random
// weights: the recipe's model in full precision, with simulated and with integer products,
// alternating in one process; medians with spread. Sampling is greedy; reading a tokenizer or a
// checkpoint is not a part.
#pragma once

#include <string>

#include "config/run_config.h"

namespace setun::bench {

struct DecodeOptions {
  int64_t repetitions = 5;
  int64_t prompt = 256;  // tokens of the prompt, one forward
  int64_t tokens = 64;   // generated one by one behind it
  bool profile = false;  // where the time of this recipe's prompt and tokens goes, by operator
  // One prompt and its tokens of this recipe for every line of standard input, printing the seconds
  // of both: for scripts that alternate with other programs.
  bool on_request = false;
  std::string json;  // a file for the timings; empty: none
};

// Prints the table to standard output. Throws Error for a classifier, or when prompt and tokens
// exceed model.max_context.
void bench_decode(const RunConfig& config, const DecodeOptions& options);

}  // namespace setun::bench
