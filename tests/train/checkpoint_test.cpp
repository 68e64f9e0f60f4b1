// Checkpoints: what is saved loads bit for bit; every kind of damage is named and the checkpoint
// before is used; what is kept is the last k and the best; tensors that do not fit are listed
// whole.
#include "checkpoint/checkpoint.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <fstream>
#include <limits>

#include "base/error.h"
#include "train/helpers.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::difference;
using test::make_checkpoint;
using test::StderrCapture;
using test::TempDir;

using Steps = std::vector<int64_t>;

void save_steps(const fs::path& run, const Steps& steps, CheckpointOptions options) {
  CheckpointStore store(run, options);
  for (const int64_t step : steps) {
    store.save_async(make_checkpoint(step));
  }
  store.wait();
  REQUIRE_FALSE(store.last_save_failed());
}

const CheckpointOptions kKeepAll{.every = 1, .keep_last = 100, .keep_best = false};

TEST_CASE("a checkpoint loads as it was saved, bit for bit", "[checkpoint]") {
  const TempDir run;
  Checkpoint saved = make_checkpoint(12345);
  saved.best_loss = GENERATE(1.0 / 3.0, -1.0, 5e-324, std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN());
  CheckpointStore store(run.path(), kKeepAll);
  CHECK_FALSE(store.load_newest().has_value());
  store.save_async(saved);
  store.wait();
  const auto loaded = store.load_newest();
  REQUIRE(loaded.has_value());
  CHECK(loaded->path == run / "checkpoints" / "step-00012345");
  CHECK(difference(loaded->checkpoint, saved) == "");
}

TEST_CASE("tensors are saved as they were at the call, not as they are at the write",
          "[checkpoint]") {
  const TempDir run;
  CheckpointStore store(run.path(), kKeepAll);
  Checkpoint live;
  live.model = {{"w", at::ones({1 << 20})}};
  for (int64_t step = 1; step <= 4; ++step) {
    live.step = step;
    live.model[0].tensor.fill_(static_cast<double>(step));
    store.save_async(live);
    live.model[0].tensor.fill_(-1);  // while the save is under way
  }
  store.wait();
  for (int64_t step = 1; step <= 4; ++step) {
    const Checkpoint saved =
        load_checkpoint(run / "checkpoints" / ("step-0000000" + std::to_string(step)));
    CHECK(saved.model[0].tensor.equal(at::full({1 << 20}, static_cast<double>(step))));
  }
}

TEST_CASE("a later save of other tensors does not inherit those of an earlier one",
          "[checkpoint]") {
  const TempDir run;
  CheckpointStore store(run.path(), kKeepAll);
  store.save_async(make_checkpoint(1));
  Checkpoint other;
  other.step = 2;
  other.model = {{"w", at::ones({3})}};
  store.save_async(other);
  store.wait();
  CHECK(difference(store.load_newest()->checkpoint, other) == "");
}

TEST_CASE("the last k and the best are kept", "[checkpoint]") {
  const TempDir run;
  CheckpointStore store(run.path(), {.every = 1, .keep_last = 2, .keep_best = true});
  for (int64_t step = 1; step <= 6; ++step) {
    Checkpoint checkpoint = make_checkpoint(step);
    checkpoint.best_step = std::min<int64_t>(step, 2);
    store.save_async(checkpoint);
  }
  store.wait();
  CHECK(store.steps() == Steps{2, 5, 6});

  SECTION("a new best lets the old one go") {
    store.save_async(make_checkpoint(7));
    store.wait();
    CHECK(store.steps() == Steps{6, 7});
  }
  SECTION("without keep_best the best goes too") {
    CheckpointStore other(run.path(), {.every = 1, .keep_last = 1, .keep_best = false});
    Checkpoint checkpoint = make_checkpoint(7);
    checkpoint.best_step = 2;
    other.save_async(checkpoint);
    other.wait();
    CHECK(other.steps() == Steps{7});
  }
}

TEST_CASE("saving a step again replaces it", "[checkpoint]") {
  const TempDir run;
  save_steps(run.path(), {1, 2}, kKeepAll);
  Checkpoint again = make_checkpoint(2);
  again.extra["again"] = "yes";
  CheckpointStore store(run.path(), kKeepAll);
  store.save_async(again);
  store.wait();
  CHECK(difference(store.load_newest()->checkpoint, again) == "");
  CHECK(std::distance(fs::directory_iterator(run / "checkpoints"), {}) == 2);
}

TEST_CASE("leftovers of a killed save go with the next one, other files stay", "[checkpoint]") {
  const TempDir run;
  test::write_text(run / "checkpoints" / ".tmp-step-00000003-1" / "model.safetensors", "half");
  test::write_text(run / "checkpoints" / ".trash-step-00000001" / "state.json", "old");
  test::write_text(run / "checkpoints" / "notes.txt", "mine");
  test::write_text(run / "checkpoints" / "step-3" / "notes.txt", "not a checkpoint's name");
  CheckpointStore store(run.path(), kKeepAll);
  CHECK_FALSE(store.load_newest().has_value());
  CHECK(fs::exists(run / "checkpoints" / ".tmp-step-00000003-1"));  // looking removes nothing
  store.save_async(make_checkpoint(4));
  store.wait();
  CHECK_FALSE(fs::exists(run / "checkpoints" / ".tmp-step-00000003-1"));
  CHECK_FALSE(fs::exists(run / "checkpoints" / ".trash-step-00000001"));
  CHECK(fs::exists(run / "checkpoints" / "notes.txt"));
  CHECK(store.steps() == Steps{4});
}

void flip_bit(const fs::path& path, std::size_t bit) {
  std::string bytes = test::read_text(path);
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
  test::write_text(path, bytes);
}

TEST_CASE("each damaged file is named and the checkpoint before is used", "[checkpoint]") {
  const std::string file =
      GENERATE("model.safetensors", "optimizer.safetensors", "metrics.safetensors", "state.json",
               "config.yaml", "manifest.json");
  const std::string kind = GENERATE("truncated", "emptied", "longer", "bit flipped", "removed");
  const TempDir run;
  save_steps(run.path(), {1, 2}, kKeepAll);
  const fs::path path = run / "checkpoints" / "step-00000002" / file;
  const auto size = fs::file_size(path);
  if (kind == "truncated") {
    fs::resize_file(path, file == "manifest.json" ? size / 2 : size - 1);
  } else if (kind == "emptied") {
    fs::resize_file(path, 0);
  } else if (kind == "longer") {
    std::ofstream(path, std::ios::app) << "x";
  } else if (kind == "bit flipped") {
    flip_bit(path, file == "manifest.json" ? 8 : size * 4);  // manifest: inside the word "format"
  } else {
    fs::remove(path);
  }
  INFO(file << " " << kind);
  CheckpointStore store(run.path(), {.every = 1, .keep_last = 1, .keep_best = true});
  const StderrCapture output;
  const auto loaded = store.load_newest();
  REQUIRE(loaded.has_value());
  CHECK(difference(loaded->checkpoint, make_checkpoint(1)) == "");
  CHECK_THAT(output.text(), Contains("warning") && Contains(path.string()));

  // A damaged one counts for nothing: with keep_last 1 the next save stays and the damaged one
  // goes.
  store.save_async(make_checkpoint(3));
  store.wait();
  CHECK(store.steps() == Steps{3});
}

TEST_CASE("no single flipped bit of a checkpoint goes unnoticed", "[checkpoint]") {
  const TempDir run;
  Checkpoint small;
  small.step = 1;
  small.model = {{"w", at::ones({2})}};
  CheckpointStore store(run.path(), kKeepAll);
  store.save_async(small);
  store.wait();
  const fs::path folder = run / "checkpoints" / "step-00000001";
  int64_t tried = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const fs::path path = entry.path();
    const std::string whole = test::read_text(path);
    for (std::size_t bit = 0; bit < whole.size() * 8; bit += 5) {
      flip_bit(path, bit);
      try {
        // In the manifest, white space and the unread step may change; nothing that is loaded may.
        const Checkpoint loaded = load_checkpoint(folder);
        INFO(path.string() << " bit " << bit);
        CHECK(path.filename() == "manifest.json");
        CHECK(difference(loaded, small) == "");
      } catch (const Error& problem) {
        CHECK_THAT(problem.what(), Contains(folder.string()));
      }
      test::write_text(path, whole);
      ++tried;
    }
  }
  CHECK(tried > 500);
}

TEST_CASE("a foreign file in a checkpoint folder does no harm", "[checkpoint]") {
  const TempDir run;
  save_steps(run.path(), {1}, kKeepAll);
  test::write_text(run / "checkpoints" / "step-00000001" / "notes.txt", "mine");
  CHECK(difference(CheckpointStore(run.path(), kKeepAll).load_newest()->checkpoint,
                   make_checkpoint(1)) == "");
}

TEST_CASE("only damaged checkpoints are an error that lists them", "[checkpoint]") {
  const TempDir run;
  save_steps(run.path(), {1, 2}, kKeepAll);
  for (const char* step : {"step-00000001", "step-00000002"}) {
    fs::resize_file(run / "checkpoints" / step / "model.safetensors", 10);
  }
  const StderrCapture output;
  CheckpointStore store(run.path(), kKeepAll);
  CHECK_THROWS_WITH(store.load_newest(), Contains("every checkpoint is damaged") &&
                                             Contains("step-00000001/model.safetensors: has 10") &&
                                             Contains("step-00000002/model.safetensors: has 10"));
}

TEST_CASE("a checkpoint moved to another step's name is not believed", "[checkpoint]") {
  const TempDir run;
  save_steps(run.path(), {1, 2}, kKeepAll);
  fs::rename(run / "checkpoints" / "step-00000002", run / "checkpoints" / "step-00000009");
  const StderrCapture output;
  CheckpointStore store(run.path(), kKeepAll);
  CHECK(store.load_newest()->checkpoint.step == 1);
  CHECK_THAT(output.text(), Contains("state.json says step 2"));
}

TEST_CASE("the caller is kept for the copy and not for the write", "[checkpoint]") {
  const TempDir run;
  CheckpointStore store(run.path(), kKeepAll);
  Checkpoint big;
  big.step = 1;
  big.model = {{"w", at::ones({int64_t{16} << 20})}};  // 64 MB
  store.save_async(big);
  store.wait();
  const double first = store.stall_seconds();
  big.step = 2;
  const auto start = std::chrono::steady_clock::now();
  store.save_async(big);
  const double stalled = store.stall_seconds() - first;
  store.wait();
  const double whole =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  INFO("stalled " << stalled << " s of " << whole << " s");
  CHECK(stalled > 0);
  CHECK(stalled < 0.5 * whole);
}

TEST_CASE("restoring copies by name, whatever the order", "[checkpoint]") {
  const at::Tensor a = at::zeros({2, 3}).requires_grad_();
  const at::Tensor b = at::zeros({4});
  restore_tensors({{"b", at::full({4}, 2.0)}, {"a", at::full({2, 3}, 1.0)}}, {{"a", a}, {"b", b}},
                  "model");
  CHECK(a.equal(at::full({2, 3}, 1.0)));
  CHECK(b.equal(at::full({4}, 2.0)));
}

TEST_CASE("tensors that do not fit are all listed and nothing is changed", "[checkpoint]") {
  const at::Tensor same = at::zeros({2});
  const std::vector<NamedTensor> live = {{"same", same},
                                         {"shape", at::zeros({2, 3})},
                                         {"dtype", at::zeros({2})},
                                         {"missing", at::zeros({5})}};
  const std::vector<NamedTensor> saved = {{"same", at::ones({2})},
                                          {"shape", at::ones({3, 2})},
                                          {"dtype", at::ones({2}, at::kDouble)},
                                          {"surplus", at::ones({6})}};
  CHECK_THROWS_WITH(restore_tensors(saved, live, "model"),
                    Contains("model tensors do not fit") &&
                        Contains("shape: saved [3, 2] Float, expected [2, 3] Float") &&
                        Contains("dtype: saved [2] Double, expected [2] Float") &&
                        Contains("missing: not in the checkpoint, expected [5] Float") &&
                        Contains("surplus: saved [6] Float, not in this recipe"));
  CHECK(same.equal(at::zeros({2})));
}

}  // namespace
}  // namespace setun
