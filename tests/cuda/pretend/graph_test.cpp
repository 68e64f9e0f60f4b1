// run.cuda_graph on the device that is not there: a recorded step gives an eager step's bits, what
// cannot be recorded is refused, and kernels go to the stream that the caller made current.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "base/text.h"
#include "cuda/pretend/device.h"
#include "cuda/pretend/recording.h"
#include "cuda/pretend/runs.h"
#include "ops/device_graph.h"
#include "ops/devices.h"
#include "ops/ops.h"
#include "train/trainer.h"

namespace setun {
namespace {

using test::Case;
using test::Overrides;
using test::Runs;

struct StandIn {
  StandIn() {
    test::pretend_device();
    ops::set_cuda_stand_in(at::kPrivateUse1);
  }
  ~StandIn() { ops::set_cuda_stand_in(std::nullopt); }
};

// loss = factor * sum(w); the factor of the fifth step is infinite.
struct Slope : Task {
  std::vector<NamedTensor> parameters() const override { return {{"w", w}}; }
  std::vector<NamedLinear> linears() const override { return {}; }
  StepSample sample(int64_t) override {
    ++steps;
    const double now = steps == 5 ? std::numeric_limits<double>::infinity() : 1;
    factor = ops::to_device(at::full({}, now), w.device(), factor);
    return {.valid_targets = 4, .samples = 4};
  }
  std::vector<at::Tensor> sampled_tensors() const override { return {factor}; }
  MicroBatchLoss loss(int64_t, QuantContext&) override { return {.sum = w.sum() * factor}; }
  bool can_evaluate() const override { return false; }
  EvalResult evaluate(QuantContext&) override { return {}; }
  LoaderPosition position() const override { return {.epoch = 0, .window = steps}; }
  void seek(const LoaderPosition& to) override { steps = to.window; }
  std::string data_fingerprint() const override { return "slope"; }
  void check_fingerprint(const std::string&) const override {}

  at::Tensor w = at::ones({4}).to(at::kPrivateUse1).requires_grad_(), factor;
  int64_t steps = 0;
};

// The run with graphs ends in the bits of the run without.
std::size_t replays_of(const Case& one) {
  INFO(one.recipe << " " << (one.overrides.empty() ? "" : one.overrides.front()));
  const Runs runs(one);
  runs.train("eager", "cuda");
  const std::size_t before = test::replays();
  runs.train("graph", "cuda", {"run.cuda_graph=true"});
  CHECK(runs.losses("graph") == runs.losses("eager"));
  CHECK(test::weight_difference(runs.newest("graph"), runs.newest("eager")) == 0);
  return test::replays() - before;
}

}  // namespace

TEST_CASE("recorded steps have the bits of eager ones") {
  const std::string recipe = "recipes/quickstart.yaml";
  const Overrides few = {"eval.every=2", "metrics.layers_every=0"};
  // Two eager steps, then two replays a step: compute and update.
  CHECK(replays_of({recipe, few, 8}) == 2 * 6);
  Overrides more = few;
  more.insert(more.end(), {"run.input_gradient=int8", "run.accumulate=2", "data.packing=isolate",
                           "run.recompute_blocks=true"});
  CHECK(replays_of({recipe, more, 6}) == 2 * 4);
  more = few;
  more.insert(more.end(), {"run.compute=bf16", "run.products=simulated"});
  CHECK(replays_of({recipe, more, 6}) == 2 * 4);
  CHECK(replays_of({"recipes/classify/xor.yaml", {"metrics.layers_every=0"}, 12}) == 2 * 10);
}

TEST_CASE("steps of every kind are recorded") {
  const Overrides quiet = {"metrics.layers_every=0"};
  for (const char* recipe :
       {"smoke/group_scales", "smoke/isolate", "smoke/projected", "bitnet/b1", "bitnet/b158_median",
        "bitnet/g128_hadamard", "bitnet/v2_a8", "bitnet/qsparse"}) {
    CHECK(replays_of({str("recipes/", recipe, ".yaml"), quiet, 4}) == 2 * 2);
  }
}

TEST_CASE("a ramp and measured steps run as always, a new phase is a new recording") {
  const Overrides quiet = {"metrics.layers_every=0"};
  CHECK(replays_of({"recipes/bitnet/a48_fp4.yaml", quiet, 12}) == 2 * 9);
  CHECK(replays_of({"recipes/smoke/phases_ramp.yaml", quiet, 16}) > 0);
  CHECK(replays_of({"recipes/smoke/kv4.yaml", quiet, 12}) > 0);
  CHECK(replays_of({"recipes/smoke/warm_start.yaml", quiet, 12}) > 0);
  CHECK(replays_of({"recipes/smoke/ternary.yaml", {"metrics.layers_every=1"}, 6}) == 0);
}

TEST_CASE("a run with graphs resumes to the bits of one that never stopped") {
  const Overrides graphs = {"run.cuda_graph=true", "checkpoint.every=3", "checkpoint.keep_last=9"};
  const Runs runs({"recipes/quickstart.yaml", graphs, 9});
  runs.train("whole", "cuda");
  runs.train("stopped", "cuda");
  runs.go_back("stopped", 3);
  runs.train("stopped", "cuda");
  CHECK(runs.losses("stopped") == runs.losses("whole"));
  CHECK(test::weight_difference(runs.newest("stopped"), runs.newest("whole")) == 0);
}

TEST_CASE("a recorded step that is not finite is not applied") {
  const StandIn cuda;
  const test::TempDir folder;
  const auto trained = [&](NonFinitePolicy policy, const char* name, Slope& task) {
    QuantContext context({.layers = {}, .phases = {{}}});
    AdamW optimizer({{.parameters = {{"w", task.w}}}}, {});
    Metrics metrics(folder / name, {.every = 1}, 0, 8, "sample");
    CheckpointStore checkpoints(folder / name, {});
    TrainerOptions options{.total_steps = 8};
    options.run.cuda_graph = true;
    options.run.non_finite = policy;
    Trainer trainer({task, context, optimizer, metrics, checkpoints}, options);
    return trainer.run(std::atomic<bool>(false)).steps;
  };
  Slope skipped, stopped;
  const std::size_t before = test::replays();
  CHECK(trained(NonFinitePolicy::kSkip, "skip", skipped) == 8);
  CHECK(test::replays() - before == 6 + 5);  // six computed, one of them without an update
  CHECK(skipped.w.isfinite().all().item<bool>());
  CHECK_THROWS_WITH(trained(NonFinitePolicy::kStop, "stop", stopped),
                    Catch::Contains("step 5: loss inf") && Catch::Contains("gradient: w"));
}

TEST_CASE("what CUDA cannot record is refused and leaves the stream usable") {
  test::pretend_device();
  const StandIn cuda;
  const at::Device device(at::kPrivateUse1, 0);
  const at::Tensor x = at::ones({4}).to(device);
  const auto recorded = [&](const std::function<void()>& work) { ops::record(device, work); };
  CHECK_THROWS_WITH(recorded([&] { x.add(1); }), Catch::Contains("default stream"));
  const ops::RecordableStream stream(device);
  CHECK_THROWS_WITH(recorded([&] { x.sum().item<float>(); }), Catch::Contains("read by the host"));
  CHECK_THROWS_WITH(recorded([&] { at::ones({4}).to(device); }), Catch::Contains("not permitted"));
  CHECK_THROWS_WITH(recorded([&] { x.cpu(); }), Catch::Contains("not permitted"));
  at::Tensor y;
  const auto graph = ops::record(device, [&] { y = x.add(x); });
  CHECK(y.isnan().all().item<bool>());  // nothing ran
  graph->replay();
  CHECK(y.eq(2).all().item<bool>());
  x.fill_(5);
  graph->replay();
  CHECK(y.eq(10).all().item<bool>());
}

TEST_CASE("kernels go to the stream that is current on their tensors' device") {
  test::pretend_device();
  const at::Device first(at::kPrivateUse1, 0), second(at::kPrivateUse1, 1);
  const c10::impl::VirtualGuardImpl guards(at::kPrivateUse1);
  const c10::Stream side = guards.getStreamFromGlobalPool(second);
  const auto launched = [](const at::Tensor& x) {
    const ops::RowCodes rows = ops::quantize_absmax_rows(x, 8, 1e-5);
    CHECK(rows.codes.device() == x.device());
    return test::last_launch();
  };
  const at::Tensor a = at::ones({2, 64}).to(first), b = at::ones({2, 64}).to(second);
  CHECK(launched(a).device == 0);
  CHECK(launched(b).device == 1);
  CHECK(launched(b).stream == 0);
  {
    const c10::StreamGuard on(side);  // makes its device current as well
    CHECK(launched(b).stream == side.id());
    CHECK(launched(a).device == 0);
    CHECK(launched(a).stream == 0);
    CHECK(guards.getDevice() == second);  // as the caller left it
  }
  CHECK(guards.getDevice() == first);
  CHECK_THROWS_WITH(ops::ternary_linear(ops::quantize_absmax_rows(a, 8, 1e-5),
                                        ops::pack_ternary(at::ones({8, 64}, at::kChar).to(second)),
                                        at::ones({1, 1}).to(first), at::kFloat),
                    Catch::Contains("same device"));
}

}  // namespace setun
