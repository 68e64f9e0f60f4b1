// A save that dies at any moment, or meets a full disk, loses nothing that was saved before it.
#include <ATen/ops/ones.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

#include "train/helpers.h"
#include "train/signals.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::difference;
using test::make_checkpoint;
using test::StderrCapture;
using test::TempDir;

const CheckpointOptions kOptions{.every = 1, .keep_last = 2, .keep_best = true};
constexpr int64_t kLastStep = 6;

// Resumes from what is there, saves up to kLastStep, and reports each finished save in `progress`.
// The first checkpoint is the best.
int save_on(const fs::path& run) {
  CheckpointStore store(run, kOptions);
  const auto loaded = store.load_newest();
  for (int64_t step = loaded ? loaded->checkpoint.step + 1 : 1; step <= kLastStep; ++step) {
    Checkpoint checkpoint = make_checkpoint(step);
    checkpoint.best_step = 1;
    store.save_async(checkpoint);
    store.wait();
    if (store.last_save_failed()) {
      return 1;
    }
    test::write_text(run / "finished", std::to_string(step));
  }
  return 0;
}

int64_t finished_step(const fs::path& run) {
  return fs::exists(run / "finished") ? std::stoll("0" + test::read_text(run / "finished")) : 0;
}

// What a new process finds must be sound, complete and no older than the last finished save.
void check_found(const fs::path& run) {
  const auto loaded = CheckpointStore(run, kOptions).load_newest();
  if (!loaded) {
    CHECK(finished_step(run) == 0);
    return;
  }
  CHECK(loaded->checkpoint.step >= finished_step(run));
  Checkpoint expected = make_checkpoint(loaded->checkpoint.step);
  expected.best_step = 1;
  CHECK(difference(loaded->checkpoint, expected) == "");
}

TEST_CASE("a kill at every fault point, again and again, loses no finished save", "[checkpoint]") {
  const std::string point =
      GENERATE("checkpoint.before_write", "checkpoint.after_tensors", "write_file.before_rename",
               "checkpoint.before_manifest", "checkpoint.before_rename", "checkpoint.after_rename",
               "checkpoint.before_prune", "checkpoint.during_prune");
  const StderrCapture output;
  const TempDir run;
  int kills = 0;
  // Each process dies a little later than the one before; the last ones reach the end.
  for (int64_t pass = 1; pass <= 12; ++pass) {
    const int status = test::in_child([&] {
      arm_fault_point(point, 1 + pass / 4);
      return save_on(run.path());
    });
    INFO(point << ", pass " << pass << "\n" << output.text());
    REQUIRE((test::killed(status) || test::exit_code(status) == 0));
    kills += test::killed(status) ? 1 : 0;
    check_found(run.path());
  }
  CHECK(kills >= 2);
  REQUIRE(test::exit_code(test::in_child([&] { return save_on(run.path()); })) == 0);
  check_found(run.path());
  CheckpointStore store(run.path(), kOptions);
  CHECK(store.load_newest()->checkpoint.step == kLastStep);

  // One more save sweeps up whatever the kills left behind.
  store.save_async(make_checkpoint(kLastStep + 1));
  store.wait();
  CHECK(store.steps() == std::vector<int64_t>{kLastStep, kLastStep + 1});
  CHECK(std::distance(fs::directory_iterator(run / "checkpoints"), {}) == 2);
}

TEST_CASE("saving a step over itself survives a kill at every fault point", "[checkpoint]") {
  const std::string point = GENERATE("checkpoint.before_rename", "checkpoint.after_rename");
  const TempDir run;
  const StderrCapture output;
  REQUIRE(test::exit_code(test::in_child([&] { return save_on(run.path()); })) == 0);
  const int status = test::in_child([&] {
    arm_fault_point(point, 1);
    CheckpointStore store(run.path(), kOptions);
    Checkpoint again = make_checkpoint(kLastStep);
    again.best_step = 1;
    store.save_async(again);
    store.wait();
    return 0;
  });
  CHECK(test::killed(status));
  check_found(run.path());
}

Checkpoint large_checkpoint(int64_t step) {
  Checkpoint checkpoint = make_checkpoint(step);
  checkpoint.model.push_back({"large", at::ones({int64_t{1} << 18})});  // 1 MB
  return checkpoint;
}

// Saves step 1; makes room run out; step 2 fails and leaves nothing behind; makes room; step 3
// works. 0 when all holds.
int save_through_shortage(const fs::path& run, const std::function<bool()>& shortage,
                          const std::function<bool()>& relief) {
  CheckpointStore store(run, kOptions);
  store.save_async(make_checkpoint(1));
  store.wait();
  if (store.last_save_failed() || !shortage()) {
    return 2;
  }
  store.save_async(large_checkpoint(2));
  store.wait();
  if (!store.last_save_failed() || store.load_newest()->checkpoint.step != 1 ||
      std::distance(fs::directory_iterator(run / "checkpoints"), {}) != 1) {
    return 3;
  }
  if (!relief()) {
    return 4;
  }
  store.save_async(large_checkpoint(3));
  store.wait();
  return !store.last_save_failed() && store.load_newest()->checkpoint.step == 3 ? 0 : 5;
}

TEST_CASE("a file size limit fails the save, not the run, and the next save works",
          "[checkpoint]") {
  const TempDir run;
  const StderrCapture output;
  const int status = test::in_child([&] {
    const SignalGuard signals;  // ignores SIGXFSZ
    struct rlimit limit {};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    const auto set = [&](rlim_t bytes) {
      const struct rlimit now { bytes, limit.rlim_max };
      return ::setrlimit(RLIMIT_FSIZE, &now) == 0;
    };
    return save_through_shortage(
        run.path(), [&] { return set(1 << 16); }, [&] { return set(limit.rlim_cur); });
  });
  INFO(output.text());
  CHECK(test::exit_code(status) == 0);
  CHECK_THAT(output.text(),
             Contains("the checkpoint of step 2 is not saved") && Contains("File too large"));
}

TEST_CASE("a full disk fails the save, not the run, and the next save works", "[checkpoint]") {
  const TempDir run;
  const StderrCapture output;
  constexpr int kCannotMount = 77;
  const int status = test::in_child([&] {
    const bool apart = ::geteuid() == 0 ? ::unshare(CLONE_NEWNS) == 0
                                        : ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
    const auto mount_with = [&](unsigned long flags, const char* size) {
      return ::mount("tmpfs", run.path().c_str(), "tmpfs", flags, size) == 0;
    };
    if (!apart || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        !mount_with(0, "size=512k")) {
      return kCannotMount;
    }
    return save_through_shortage(
        run.path(), [] { return true; }, [&] { return mount_with(MS_REMOUNT, "size=16m"); });
  });
  if (test::exit_code(status) == kCannotMount) {
    SETUN_SKIP("this process may not mount a small tmpfs");
  }
  INFO(output.text());
  CHECK(test::exit_code(status) == 0);
  CHECK_THAT(output.text(), Contains("the checkpoint of step 2 is not saved") &&
                                Contains("No space left on device"));
}

}  // namespace
}  // namespace setun
