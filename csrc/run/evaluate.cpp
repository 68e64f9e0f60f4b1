// `setun eval` and `setun data`: validation loss of a checkpoint, and what the prepared corpus
// holds.
#include <iomanip>
#include <iostream>

#include "base/text.h"
#include "eval/perplexity.h"
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
  const PreparedData data = prepare_data(config.data);
  SavedModel saved = load_model(config, checkpoint, data.vocab_size);
  const std::unique_ptr<Loader> loader = make_validation_loader(config, data);
  SETUN_CHECK(loader != nullptr,
              "data: no validation batch: the validation split is shorter than data.batch x "
              "data.context = ",
              config.data.batch * config.data.context,
              " tokens; name files in data.validation or raise data.validation_fraction");
  const EvalResult result = setun::evaluate(saved.assembled.model, *saved.assembled.context,
                                            *loader, config.eval.batches);
  std::cout << "checkpoint       " << saved.path << " (step " << saved.step << ")\n"
            << "validation loss  " << result.loss << " nats per token over "
            << thousands(result.tokens) << " tokens\n"
            << "perplexity       " << result.perplexity << "\n";
  if (config.eval.ngram > 0) {
    std::cout << config.eval.ngram << "-gram model     " << ngram_loss_of(data, config.eval.ngram)
              << "\n";
  }
}

}  // namespace setun::run
