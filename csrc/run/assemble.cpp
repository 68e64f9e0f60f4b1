#include "run/assemble.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <thread>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "base/error.h"
#include "base/log.h"
#include "ops/devices.h"
#include "run/ngram.h"
#include "train/classifier_task.h"
#include "train/language_model_task.h"

namespace setun::run {
namespace {

at::ScalarType compute_dtype(ComputeDtype dtype) {
  switch (dtype) {
    case ComputeDtype::kFp32:
      return at::kFloat;
    case ComputeDtype::kBf16:
      return at::kBFloat16;
  }
  return at::kFloat;
}

void place(torch::nn::Module& model, const RunOptions& run) {
  if (run.device != Device::kCpu) {
    model.to(device_of(run));
  }
}

ProductOptions product_options(const RunOptions& run) {
  return {.products = run.products,
          .input_gradient = run.input_gradient,
          .inference_head = run.inference_head};
}

LoaderOptions loader_options(const RunConfig& config) {
  return {.batch = config.data.batch,
          .context = config.data.context,
          .packing = config.data.packing,
          .shuffle = config.data.shuffle,
          .prefetch = config.data.prefetch,
          .seed = static_cast<uint64_t>(config.run.seed)};
}

// Null when the corpus leaves no validation batch.
std::unique_ptr<Loader> make_validation_loader(const RunConfig& config, const PreparedData& data) {
  if (data.validation.empty()) {
    return nullptr;
  }
  LoaderOptions options = loader_options(config);
  options.shuffle = false;
  options.keep_short_batch = true;  // every valid target counts
  options.prefetch = 0;             // a pass is short, and evaluation seeks to the start every time
  auto loader = std::make_unique<Loader>(data.validation, options);
  return loader->batches_per_epoch() > 0 ? std::move(loader) : nullptr;
}

// Of the validation split; 0 when the bytes are not known.
double tokens_per_byte(const PreparedData& data) {
  int64_t tokens = 0;
  for (const TokenSlice& slice : data.validation) {
    tokens += static_cast<int64_t>(slice.size());
  }
  return data.validation_bytes > 0
             ? static_cast<double>(tokens) / static_cast<double>(data.validation_bytes)
             : 0;
}

void check_device(Device device) {
  if (device == Device::kCpu) {
    return;
  }
  const ops::CudaDevices cuda = ops::cuda_devices();
  SETUN_CHECK(cuda.built,
              "run.device: cuda: no CUDA device: this build of Setun has no CUDA kernels; set "
              "run.device=cpu");
  SETUN_CHECK(cuda.count > 0, "run.device: cuda: no CUDA device (", cuda.reason,
              "); set run.device=cpu");
  // Deterministic products need a workspace of fixed size, read when cuBLAS starts.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
}

// A step frees and asks for the same tensors again and again. Left alone, the C library gives the
// larger ones back to the kernel each time and their next use faults every page in anew; so memory
// stays with the process once it was used. Other C libraries than glibc keep their defaults.
void keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int kLargestThreshold = 32 << 20;  // glibc takes no more
  mallopt(M_MMAP_THRESHOLD, kLargestThreshold);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, kLargestThreshold);
  mallopt(M_MXFAST, 0);  // fast bins are merged, all of them, whenever a large tensor is freed
#endif
}

}  // namespace

void set_matmul_precision(MatmulPrecision precision) {
  at::globalContext().setFloat32MatmulPrecision(precision == MatmulPrecision::kMedium ? "medium"
                                                                                      : "highest");
}

at::Device device_of(const RunOptions& options) {
  return options.device == Device::kCpu ? at::Device(at::kCPU) : ops::cuda_device();
}

void set_up_process(const RunOptions& options) {
  check_device(options.device);
  const int64_t cores = std::max(1U, std::thread::hardware_concurrency());
  at::set_num_threads(static_cast<int>(options.threads > 0 ? options.threads : cores));
  set_matmul_precision(options.matmul_precision);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  // Its companion fills every new tensor with NaN: a pass over memory for each at::empty.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  keep_freed_memory();
}

AssembledModel assemble_model(const RunConfig& config, int64_t vocab_size) {
  AssembledModel made;
  made.options = config.model;
  if (made.options.vocab_size == 0) {
    made.options.vocab_size = vocab_size;
  }
  SETUN_CHECK(made.options.vocab_size >= vocab_size, "model.vocab_size: ", made.options.vocab_size,
              " is smaller than the tokenizer's ", vocab_size,
              "; leave model.vocab_size out to take the tokenizer's");
  made.model = DecoderLM(made.options, compute_dtype(config.run.compute));
  initialise(made.model, static_cast<uint64_t>(config.run.seed));
  place(*made.model, config.run);
  made.context =
      std::make_unique<QuantContext>(make_plan(made.options, config), product_options(config.run));
  return made;
}

namespace {

AssembledTask assemble_language_model(const RunConfig& config) {
  const PreparedData data = prepare_data(config.data);
  AssembledModel model = assemble_model(config, data.vocab_size);
  std::unique_ptr<Loader> validation = make_validation_loader(config, data);
  AssembledTask made;
  made.context = std::move(model.context);
  made.size = estimate_size(model.options, made.context->plan(), config.data.batch,
                            config.data.context, config.run.recompute_blocks, config.run.products);
  if (config.eval.ngram > 0 && !data.validation.empty()) {
    made.ngram_loss = [data, order = config.eval.ngram] { return ngram_loss_of(data, order); };
  }
  const LanguageModelTaskOptions options{
      .recompute_blocks = config.run.recompute_blocks,
      .balance = config.model.moe.balance,
      .eval_batches = config.eval.batches,
      .validation_tokens_per_byte = validation ? tokens_per_byte(data) : 0};
  made.task = std::make_unique<LanguageModelTask>(
      model.model, std::make_unique<Loader>(data.train, loader_options(config)),
      std::move(validation), data.train, options);
  return made;
}

void take_size(const char* key, int64_t& size, int64_t of_data) {
  SETUN_CHECK(size == 0 || size == of_data, "model.", key, ": ", size, ", but the data has ",
              of_data, "; leave it out to take the data's");
  size = of_data;
}

AssembledTask assemble_classifier(const RunConfig& config) {
  SampleData data = make_samples(config.data);
  ModelOptions options = config.model;
  take_size("classifier.classes", options.classifier.classes,
            static_cast<int64_t>(data.classes.size()));
  if (options.kind == ModelKind::kBagOfWords) {
    take_size("vocab_size", options.vocab_size, data.vocab_size);
  } else {
    take_size("classifier.features", options.classifier.features, data.train.features);
  }
  Classifier model(options, compute_dtype(config.run.compute));
  initialise(model, static_cast<uint64_t>(config.run.seed));
  place(*model, config.run);
  AssembledTask made;
  made.context =
      std::make_unique<QuantContext>(make_plan(options, config), product_options(config.run));
  made.size = estimate_size(options, made.context->plan(), config.data.batch, 1, false,
                            config.run.products);
  const SampleLoaderOptions train{.batch = config.data.batch,
                                  .shuffle = config.data.shuffle,
                                  .seed = static_cast<uint64_t>(config.run.seed)};
  auto validation = data.validation.count() == 0
                        ? nullptr
                        : std::make_unique<SampleLoader>(
                              std::move(data.validation),
                              SampleLoaderOptions{.batch = train.batch, .keep_short_batch = true});
  made.task = std::make_unique<ClassifierTask>(
      model, std::make_unique<SampleLoader>(std::move(data.train), train), std::move(validation),
      config.eval.batches);
  return made;
}

}  // namespace

AssembledTask assemble_task(const RunConfig& config) {
  return config.model.classifies() ? assemble_classifier(config) : assemble_language_model(config);
}

std::unique_ptr<AdamW> make_optimizer(const RunConfig& config,
                                      const std::vector<NamedTensor>& parameters,
                                      const QuantPlan& plan) {
  std::vector<NamedParameter> named;
  for (const NamedTensor& item : parameters) {
    named.push_back({item.name, item.tensor});
  }
  return std::make_unique<AdamW>(make_param_groups(named, plan.layers, config.optim), config.optim);
}

}  // namespace setun::run
