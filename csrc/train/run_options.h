// The run-only sections of a recipe: run, eval, checkpoint, metrics, generate. They never stand in
// a fragment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/enum_names.h"
#include "base/error.h"
#include "quant/product_options.h"

namespace setun {

enum class Device { kCpu, kCuda };
enum class ComputeDtype {
  kFp32,
  kBf16
};  // of matrix products and attention; parameters and norms stay fp32
enum class NonFinitePolicy { kStop, kSkip };
// LibTorch's setting of the same name for fp32 products. highest: its default BLAS. medium: oneDNN,
// about twice as fast on AMD processors at fp32 accuracy; a processor with AMX may then round the
// inputs of products to bf16. On CUDA medium means TF32.
enum class MatmulPrecision { kHighest, kMedium };

template <>
struct EnumNames<Device> {
  static constexpr auto table =
      enum_table<Device>({{Device::kCpu, "cpu"}, {Device::kCuda, "cuda"}});
};
template <>
struct EnumNames<ComputeDtype> {
  static constexpr auto table =
      enum_table<ComputeDtype>({{ComputeDtype::kFp32, "fp32"}, {ComputeDtype::kBf16, "bf16"}});
};
template <>
struct EnumNames<MatmulPrecision> {
  static constexpr auto table = enum_table<MatmulPrecision>(
      {{MatmulPrecision::kHighest, "highest"}, {MatmulPrecision::kMedium, "medium"}});
};
template <>
struct EnumNames<NonFinitePolicy> {
  static constexpr auto table = enum_table<NonFinitePolicy>(
      {{NonFinitePolicy::kStop, "stop"}, {NonFinitePolicy::kSkip, "skip"}});
};

struct RunOptions {
  int64_t seed = 1;
  int64_t steps = 0;       // optimizer steps; exactly one of steps and tokens is given
  int64_t tokens = 0;      // rounded up to whole steps
  double minutes = 0;      // stop (saved, resumable) after this much wall time; 0: no limit
  std::string output;      // run folder; required by train
  int64_t accumulate = 1;  // micro-batches per optimizer step
  int64_t threads = 0;     // 0: all cores
  Device device = Device::kCpu;
  ComputeDtype compute = ComputeDtype::kFp32;
  MatmulPrecision matmul_precision = MatmulPrecision::kHighest;
  Products products = Products::kInteger;                  // of quantized linear layers
  InputGradient input_gradient = InputGradient::kExact;    // of integer products
  InferenceHead inference_head = InferenceHead::kCompute;  // of generation and evaluation
  bool recompute_blocks =
      false;                // gradient checkpointing: keep block inputs only, recompute in backward
  bool cuda_graph = false;  // record the step once, replay it
  NonFinitePolicy non_finite = NonFinitePolicy::kStop;
  std::vector<std::string>
      allow_changed;  // keys whose change since the checkpoint is accepted ("optim.lr", "run.*")
  bool operator==(const RunOptions&) const = default;
  void validate(Errors& errors) const;
};

struct EvalOptions {
  int64_t every = 0;    // steps; 0: only at the end
  int64_t batches = 0;  // micro-batches of the validation split; 0: all
  int64_t ngram = 0;  // order of the Kneser-Ney n-gram baseline reported at the end of train and by
                      // eval; 0: none
  bool operator==(const EvalOptions&) const = default;
  void validate(Errors& errors) const;
};

struct CheckpointOptions {
  int64_t every = 0;  // steps; 0: only at the end and on a signal
  int64_t keep_last = 2;
  bool keep_best = true;  // by validation loss
  bool operator==(const CheckpointOptions&) const = default;
  void validate(Errors& errors) const;
};

struct MetricsOptions {
  int64_t every = 10;        // steps between records
  int64_t layers_every = 0;  // steps between per-layer records (a multiple of every); 0: none
  bool tensorboard = false;
  bool operator==(const MetricsOptions&) const = default;
  void validate(Errors& errors) const;
};

struct GenerateOptions {
  std::string prompt;
  int64_t tokens = 100;
  double temperature = 0.8;  // 0: greedy
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0;
  int64_t seed = 1;
  bool operator==(const GenerateOptions&) const = default;
  void validate(Errors& errors) const;
};

}  // namespace setun
