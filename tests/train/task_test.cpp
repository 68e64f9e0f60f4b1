// The trainer on a task of the smallest kind: what it asks, what it divides by, and where the
// auxiliary loss goes.
#include "train/task.h"

#include <ATen/ATen.h>

#include "support/catch.h"
#include "train/trainer.h"

namespace setun {
namespace {

// loss = sum over targets of w; auxiliary = `weight` * w^2 / 2. No quantized layer.
struct Slope : Task {
  explicit Slope(double auxiliary_in) : auxiliary(auxiliary_in) { w.requires_grad_(); }
  std::vector<NamedTensor> parameters() const override { return {{"w", w}}; }
  std::vector<NamedLinear> linears() const override { return {}; }
  StepSample sample(int64_t micro_batches) override {
    sampled += micro_batches;
    return {.valid_targets = 4 * micro_batches, .samples = 5 * micro_batches};
  }
  std::vector<at::Tensor> sampled_tensors() const override { return {}; }
  MicroBatchLoss loss(int64_t micro_batch, QuantContext&) override {
    asked.push_back(micro_batch);
    const at::Tensor sum = 4 * w.sum();
    return auxiliary == 0
               ? MicroBatchLoss{.sum = sum}
               : MicroBatchLoss{.sum = sum, .auxiliary = auxiliary / 2 * w.square().sum()};
  }
  bool can_evaluate() const override { return true; }
  EvalResult evaluate(QuantContext&) override { return {.loss = 3, .accuracy = 0.75, .tokens = 8}; }
  LoaderPosition position() const override { return {.epoch = 1, .window = sampled}; }
  void seek(const LoaderPosition& position) override { sampled = position.window; }
  std::string data_fingerprint() const override { return "slope"; }
  void check_fingerprint(const std::string& saved) const override {
    SETUN_CHECK(saved == "slope", "other data");
  }

  at::Tensor w = at::full({1}, 2.0);
  double auxiliary;
  int64_t sampled = 0;
  std::vector<int64_t> asked;
};

struct Run {
  TrainResult result;
  Checkpoint saved;
  double grad_norm = 0;
};

Run train_one_step(Slope& task, int64_t accumulate, const std::filesystem::path& folder,
                   const Checkpoint* resume = nullptr, int64_t steps = 1) {
  QuantContext context({.layers = {}, .phases = {{}}});
  OptimOptions optim{.clip_norm = 0, .groups = {}};
  AdamW optimizer({{.parameters = {{"w", task.w}}}}, optim);
  Metrics metrics(folder, {.every = 1}, 0, steps, "sample");
  CheckpointStore checkpoints(folder, {});
  Trainer trainer(
      {.task = task,
       .context = context,
       .optimizer = optimizer,
       .metrics = metrics,
       .checkpoints = checkpoints},
      {.run = {.steps = steps, .accumulate = accumulate}, .optim = optim, .total_steps = steps});
  if (resume != nullptr) {
    trainer.resume(*resume);
  }
  const std::atomic<bool> stop{false};
  Run run;
  run.result = trainer.run(stop);
  checkpoints.wait();
  run.saved = checkpoints.load_newest()->checkpoint;
  const std::string line = test::read_text(folder / "metrics.csv");
  std::size_t at = line.find('\n');
  for (int column = 0; column < 4 && at != std::string::npos; ++column) {
    at = line.find(',', at + 1);
  }
  run.grad_norm = at == std::string::npos ? 0 : std::stod(line.substr(at + 1));  // no step: no row
  return run;
}

TEST_CASE("the auxiliary loss is a mean over micro-batches and no part of the reported loss") {
  for (const int64_t accumulate : {1, 3}) {
    const test::TempDir folder;
    Slope plain(0), weighted(0.5);
    const Run without = train_one_step(plain, accumulate, folder / "a");
    CHECK(without.result.train_loss == 2);
    CHECK(without.grad_norm == Approx(1));
    const Run with = train_one_step(weighted, accumulate, folder / "b");
    CHECK(with.result.train_loss == 2);
    CHECK(with.grad_norm == Approx(1 + 0.5 * 2));  // d/dw of w + 0.25 w^2 at 2
    CHECK(weighted.asked.size() == static_cast<std::size_t>(accumulate));
    CHECK(with.saved.tokens == 5 * accumulate);
  }
}

TEST_CASE("accuracy is recorded; position, data and last evaluation are saved and taken up again") {
  const test::TempDir folder;
  Slope first(0);
  const Run one = train_one_step(first, 2, folder / "a");
  CHECK(one.result.validation.accuracy == 0.75);
  CHECK(test::read_text(folder / "a/eval.csv") ==
        "step,loss,perplexity,bits_per_byte,accuracy\n1,3,,,0.75\n");
  CHECK(one.saved.loader == LoaderPosition{.epoch = 1, .window = 2});
  CHECK(one.saved.data_fingerprint == "slope");
  Slope second(0);
  const Run two = train_one_step(second, 2, folder / "b", &one.saved, 2);
  CHECK(second.sampled == 4);
  Slope finished(0);
  const Run same = train_one_step(finished, 2, folder / "a", &two.saved, 2);
  CHECK(finished.asked.empty());
  CHECK(same.result.validation.accuracy == 0.75);
  CHECK(same.result.validation.tokens == 8);
  Checkpoint other = one.saved;
  other.data_fingerprint = "another";
  Slope third(0);
  CHECK_THROWS_WITH(train_one_step(third, 2, folder / "c", &other, 2), "other data");
}

}  // namespace
}  // namespace setun
