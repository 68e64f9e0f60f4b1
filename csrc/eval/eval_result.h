// What an evaluation found, whatever the task: its loss, and the figures that only some tasks have.
#pragma once

#include <cstdint>

namespace setun {

struct EvalResult {
  double loss = 0;           // mean over the valid targets, nats
  double perplexity = 0;     // exp(loss), of language models; 0: none
  double bits_per_byte = 0;  // of language models whose text's bytes are known; 0: none
  double accuracy = -1;      // share of targets predicted exactly, of classifiers; -1: none
  int64_t tokens = 0;        // valid targets
};

}  // namespace setun
