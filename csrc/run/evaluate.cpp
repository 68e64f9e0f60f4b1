// `setun eval` and `setun data`: validation loss of a checkpoint, and what the prepared corpus
// holds.
#include <iomanip>
#include <iostream>

#include "base/text.h"
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

}  // namespace

void prepare(const RunConfig& config) {
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
            << "validation loss  " << result.loss << " nats per token over "
            << thousands(result.tokens) << " tokens\n";
  if (result.perplexity > 0) {
    std::cout << "perplexity       " << result.perplexity << "\n";
  }
  if (assembled.ngram_loss) {
    std::cout << config.eval.ngram << "-gram model     " << assembled.ngram_loss() << "\n";
  }
}

}  // namespace setun::run
