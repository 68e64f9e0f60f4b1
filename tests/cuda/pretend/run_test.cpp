// Whole runs on a device that is not there (pretend/device.h): run.device: cuda moves model, data,
// optimizer and every draw there, so a tensor left on the host, or one that host code touches, ends
// the test. Numbers are held against the same run on the CPU.
#include <ATen/ATen.h>

#include "cuda/pretend/device.h"
#include "cuda/pretend/runs.h"
#include "ops/ops.h"
#include "ops/step_ops.h"
#include "recipes/tiny.h"
// After the headers that bring another CHECK.
#include "support/catch.h"

namespace setun {
namespace {

namespace fs = std::filesystem;
using test::Case;
using test::check_close;
using test::Overrides;
using test::Runs;
using test::weight_difference;

// Losses and weights of one recipe on both. What differs, differs by rounding: the product behind a
// weight's only scale is rounded before it is scaled (not after), the loss has a logarithm of its
// own; then a code may flip. bf16 rounds 2^16 times as coarsely. Bounds are relative. Weights
// without a bound: Adam turns a gradient that is 0 here and rounding noise there into a step of its
// own.
void compare(const Case& one, double losses, std::optional<double> weights) {
  INFO(one.recipe << " " << (one.overrides.empty() ? "" : one.overrides.front()));
  const Runs runs(one);
  const run::TrainSummary cpu = runs.train("cpu", "cpu"), cuda = runs.train("cuda", "cuda");
  CHECK(cuda.steps == one.steps);
  check_close(runs.losses("cuda"), runs.losses("cpu"), losses);
  check_close({cuda.validation_loss}, {cpu.validation_loss}, losses);
  if (weights) {
    CHECK(weight_difference(runs.newest("cuda"), runs.newest("cpu")) <= *weights);
  }
}

}  // namespace

TEST_CASE("the pretended device refuses what CUDA refuses") {
  test::pretend_device();
  const at::Tensor host = at::ones({3}), device = host.to(at::kPrivateUse1);
  CHECK(device.is_privateuseone());
  CHECK(device.cpu().equal(host));
  CHECK((device + 1).sum().item<float>() == 6);
  CHECK_THROWS_WITH(device + host, Catch::Contains("same device"));
  const ops::RowCodes rows =
      ops::quantize_absmax_rows(at::ones({2, 64}).to(at::kPrivateUse1), 8, 1e-5);
  const at::Tensor scale = at::ones({1, 1}).to(at::kPrivateUse1);
  CHECK_THROWS_WITH(
      ops::ternary_linear(rows, ops::pack_ternary(at::ones({8, 64}, at::kChar)), scale, at::kFloat),
      Catch::Contains("same device"));
}

TEST_CASE("whole runs on the device have the CPU's losses") {
  const std::string recipe = "recipes/quickstart.yaml";
  compare({recipe, {}, 8}, 1e-4, 1e-3);
  compare({recipe, {"run.input_gradient=int8_stochastic"}, 30}, 1e-5, 1e-4);
  compare({recipe, {"run.products=simulated", "run.recompute_blocks=true"}, 8}, 1e-5, 1e-4);
  compare({recipe, {"run.compute=bf16", "run.accumulate=2", "data.packing=isolate"}, 8}, 2e-3,
          0.05);
}

TEST_CASE("without attention and a product rounded twice the weights have the CPU's bits") {
  const Overrides int8 = {"run.input_gradient=int8_stochastic", "model.classifier.dropout=0.3"};
  compare({"recipes/classify/xor.yaml", int8, 20}, 1e-6, 0);
  compare({"recipes/classify/wide_mlp.yaml", int8, 8}, 1e-6, 0);
}

TEST_CASE("every small recipe runs on the device") {
  for (const char* folder : {"smoke", "bitnet", "classify"}) {
    for (const fs::path& file : test::yaml_files(test::source_folder() / "recipes" / folder)) {
      const std::string recipe = fs::relative(file, test::source_folder()).string();
      const RunConfig config = config::load_recipe(file, {}).config;
      const bool bf16 = config.run.compute == ComputeDtype::kBf16;
      compare({recipe, {}, test::tiny_steps(config)}, bf16 ? 5e-3 : 2e-3, std::nullopt);
    }
  }
}

// What a run on CUDA calls, since Setun's attention has kernels for the host alone.
TEST_CASE("LibTorch's attention takes the device's tensors") {
  test::pretend_device();
  const auto leaf = [](std::vector<int64_t> shape, double step, at::Device device) {
    return at::arange(c10::multiply_integers(shape), at::kFloat)
        .mul(step)
        .sin()
        .view(shape)
        .to(device)
        .requires_grad_();
  };
  const at::Tensor first = at::tensor({0, 0, 2, 2, 2}, at::kLong).view({1, 5});
  for (const at::Tensor& first_BT : {at::Tensor(), first}) {
    std::vector<at::Tensor> results[2];
    for (const at::DeviceType type : {at::kCPU, at::kPrivateUse1}) {
      const at::Tensor q = leaf({1, 4, 5, 8}, 0.7, type), k = leaf({1, 2, 5, 8}, 1.3, type),
                       v = leaf({1, 2, 5, 8}, 2.9, type);
      const at::Tensor y = ops::causal_attention_by_library(
          q, k, v, first_BT.defined() ? first_BT.to(type) : at::Tensor());
      y.square().sum().backward();
      results[type == at::kCPU ? 0 : 1] = {y.detach().cpu(), q.grad().cpu(), k.grad().cpu(),
                                           v.grad().cpu()};
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      CHECK((results[0][i] - results[1][i]).abs().max().item<float>() <= 1e-5F);
    }
  }
}

TEST_CASE("a run moves between devices at its checkpoints") {
  const Runs runs({"recipes/quickstart.yaml",
                   {"run.input_gradient=int8", "checkpoint.every=2", "checkpoint.keep_last=9"},
                   8});
  runs.train("whole", "cpu");
  const char* devices[] = {"cuda", "cpu", "cuda", "cpu"};
  for (int part = 0; part < 4; ++part) {
    if (part > 0) {  // back to the checkpoint of step 2 * part, as if the run had ended there
      runs.go_back("moved", 2 * part);
    }
    runs.train("moved", devices[part], {"run.allow_changed=[run.device]"});
  }
  check_close(runs.losses("moved"), runs.losses("whole"), 1e-5);
  CHECK(weight_difference(runs.newest("moved"), runs.newest("whole")) <= 1e-4);
  CHECK(runs.evaluate("whole", "cuda") == runs.evaluate("whole", "cpu"));
  CHECK(runs.generate("whole", "cuda") == runs.generate("whole", "cpu"));
  CHECK(runs.evaluate("moved", "cuda").find("validation loss") != std::string::npos);
}

TEST_CASE("a step reads the loss and the norm, and nothing else") {
  const Overrides quiet = {"metrics.layers_every=0", "eval.batches=1", "checkpoint.every=0"};
  const auto reads = [&](const Overrides& more, int steps) {
    const Runs runs({"recipes/quickstart.yaml", quiet, steps});
    const test::Transfers before = test::transfers();
    runs.train("run", "cuda", more);
    return test::transfers().to_host - before.to_host;
  };
  CHECK(reads({}, 12) - reads({}, 4) == 8 * 2);
  CHECK(reads({"run.accumulate=3"}, 12) - reads({"run.accumulate=3"}, 4) == 8 * 2);
  CHECK(reads({"run.compute=bf16"}, 12) - reads({"run.compute=bf16"}, 4) == 8 * 2);
}

}  // namespace setun
