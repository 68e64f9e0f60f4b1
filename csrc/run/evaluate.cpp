// `setun eval` and `setun data`: validation loss of a checkpoint, and what the prepared corpus
// holds.
#include <iomanip>
#include <iostream>

#include "base/text.h"
#include "data/samples.h"
#include "run/assemble.h"
#include "run/ngram.h"
#include "run/run.h"
#include "run/saved_model.h"

namespace setun::run {
namespace {

void print_split(const char* name, const std::vector<TokenSlice>& slices, int64_t bytes) {
  int64_t tokens = 0;
  std::size_t documents = 0;
  for (const TokenSlice& slice : slices) {
    tokens += static_cast<int64_t>(slice.size());
    documents += slice.shard->document_starts().size();
  }
  std::cout << std::left << std::setw(12) << name << thousands(tokens) << " tokens, "
            << thousands(static_cast<int64_t>(documents)) << " documents";
  if (bytes > 0) {
    std::cout << ", " << human_bytes(static_cast<double>(bytes)) << ", "
              << static_cast<double>(bytes) / static_cast<double>(tokens) << " bytes a token";
  }
  std::cout << "\n";
  for (const TokenSlice& slice : slices) {
    std::cout << "            " << slice.shard->path().string() << " (" << slice.shard->info().kind
              << ")\n";
  }
}

void print_samples(const char* name, const Samples& samples, const SampleData& data) {
  std::vector<int64_t> counts(data.classes.size(), 0);
  for (const int64_t label : samples.labels) {
    ++counts[static_cast<std::size_t>(label)];
  }
  std::cout << std::left << std::setw(12) << name << thousands(samples.count()) << " samples";
  for (std::size_t i = 0; i < counts.size(); ++i) {
    std::cout << (i == 0 ? ": " : ", ") << data.classes[i] << " " << thousands(counts[i]);
  }
  std::cout << "\n";
}

void print_sample_data(const RunConfig& config) {
  const SampleData data = make_samples(config.data);
  if (data.vocab_size > 0) {
    std::cout << "vocabulary  " << thousands(data.vocab_size) << " words\n";
  } else {
    std::cout << "features    " << data.train.features << "\n";
  }
  print_samples("train", data.train, data);
  print_samples("validation", data.validation, data);
}

}  // namespace

void prepare(const RunConfig& config) {
  if (config.model.classifies()) {
    print_sample_data(config);
    return;
  }
  const PreparedData data = prepare_data(config.data);
  std::cout << "vocabulary  " << data.vocab_size
            << (data.tokenizer ? " (" + std::string(data.tokenizer->kind()) + ")" : "") << "\n";
  print_split("train", data.train, data.train_bytes);
  if (data.validation.empty()) {
    std::cout << "validation  none\n";
    return;
  }
  print_split("validation", data.validation, data.validation_bytes);
  if (config.eval.ngram > 0) {
    std::cout << config.eval.ngram
              << "-gram model on validation: " << ngram_loss_of(data, config.eval.ngram)
              << " nats per token\n";
  }
}

void evaluate(const RunConfig& config, const std::string& checkpoint) {
  set_up_process(config.run);
  const AssembledTask assembled = assemble_task(config);
  const RestoredFrom from =
      restore_model(config, checkpoint, assembled.task->parameters(), *assembled.context);
  SETUN_CHECK(assembled.task->can_evaluate(),
              "data: no validation batch: the validation split is shorter than one batch; name "
              "files in data.validation, raise data.validation_fraction, or lower data.batch or "
              "data.context");
  const EvalResult result = assembled.task->evaluate(*assembled.context);
  std::cout << "checkpoint       " << from.path << " (step " << from.step << ")\n"
            << "validation loss  " << result.loss << " nats per " << unit_name(config) << " over "
            << thousands(result.tokens) << " " << unit_name(config) << "s\n";
  if (result.perplexity > 0) {
    std::cout << "perplexity       " << result.perplexity << "\n";
  }
  if (result.accuracy >= 0) {
    std::cout << "accuracy         " << 100 * result.accuracy << " %\n";
  }
  if (assembled.ngram_loss) {
    std::cout << config.eval.ngram << "-gram model     " << assembled.ngram_loss() << "\n";
  }
}

}  // namespace setun::run
