#include "train/helpers.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sin.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <iostream>

namespace setun::test {
namespace {

at::Tensor numbers(int64_t step, at::IntArrayRef shape, at::ScalarType type) {
  int64_t count = 1;
  for (const int64_t length : shape) {
    count *= length;
  }
  const at::Tensor values = at::arange(count, at::kDouble).add(static_cast<double>(step));
  const bool real = at::isFloatingType(type);
  return (real ? values.sin() : values.remainder(2)).to(type).reshape(shape);
}

std::string difference(const char* what, const std::vector<NamedTensor>& a,
                       const std::vector<NamedTensor>& b) {
  if (a.size() != b.size()) {
    return std::string(what) + ": number of tensors";
  }
  for (const NamedTensor& item : a) {
    bool same = false;
    for (const NamedTensor& other : b) {
      same |= other.name == item.name && other.tensor.scalar_type() == item.tensor.scalar_type() &&
              other.tensor.equal(item.tensor);
    }
    if (!same) {
      return std::string(what) + ": " + item.name;
    }
  }
  return "";
}

}  // namespace

Checkpoint make_checkpoint(int64_t step) {
  Checkpoint made;
  made.step = step;
  made.phase = step % 3;
  made.tokens = step * 1024;
  made.loader = {.epoch = step / 7, .window = step % 7};
  made.data_fingerprint = "fingerprint \"of\" \xC3\xA4 corpus";
  made.best_loss = 1.0 / 3.0 + static_cast<double>(step);
  made.best_step = step;
  made.config_yaml = "run:\n  steps: " + std::to_string(step) + "\n";
  made.model = {{"embed.weight", numbers(step, {7, 3}, at::kFloat)},
                {"norm.weight", numbers(step, {3}, at::kBFloat16)},
                {"transposed", numbers(step, {4, 6}, at::kFloat).t()},
                {"empty", numbers(step, {0, 5}, at::kFloat)}};
  made.optimizer = {{"embed.weight.exp_avg", numbers(step, {7, 3}, at::kDouble)},
                    {"embed.weight.step", numbers(step, {}, at::kFloat)}};
  made.metrics = {{"codes.blocks.0.attn.q", numbers(step, {5}, at::kByte)},
                  {"generator", numbers(step, {9}, at::kLong)},
                  {"flags", numbers(step, {3}, at::kBool)},
                  {"half", numbers(step, {2, 2}, at::kHalf)},
                  {"small", numbers(step, {3}, at::kChar)},
                  {"short", numbers(step, {3}, at::kShort)},
                  {"int", numbers(step, {3}, at::kInt)}};
  made.extra = {{"interval.loss_sum", "0x1.8p+1"}, {"step", std::to_string(step)}};
  return made;
}

std::string difference(const Checkpoint& a, const Checkpoint& b) {
  const bool same_loss =
      a.best_loss == b.best_loss || (std::isnan(a.best_loss) && std::isnan(b.best_loss));
  const std::pair<bool, const char*> scalars[] = {
      {a.step == b.step, "step"},
      {a.phase == b.phase, "phase"},
      {a.tokens == b.tokens, "tokens"},
      {a.loader == b.loader, "loader"},
      {a.data_fingerprint == b.data_fingerprint, "data_fingerprint"},
      {same_loss, "best_loss"},
      {a.best_step == b.best_step, "best_step"},
      {a.config_yaml == b.config_yaml, "config_yaml"},
      {a.extra == b.extra, "extra"}};
  for (const auto& [same, name] : scalars) {
    if (!same) {
      return name;
    }
  }
  return difference("model", a.model, b.model) + difference("optimizer", a.optimizer, b.optimizer) +
         difference("metrics", a.metrics, b.metrics);
}

int in_child(const std::function<int()>& body) {
  std::cout.flush();
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 99;
    try {
      code = body();
    } catch (const std::exception& problem) {
      std::cerr << "child: " << problem.what() << std::endl;
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

bool killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }
int exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

StderrCapture::StderrCapture() : saved_(::dup(STDERR_FILENO)) {
  const int file = ::open((folder_ / "stderr").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(file, STDERR_FILENO);
  ::close(file);
}
StderrCapture::~StderrCapture() {
  ::dup2(saved_, STDERR_FILENO);
  ::close(saved_);
}
std::string StderrCapture::text() const { return read_text(folder_ / "stderr"); }

}  // namespace setun::test
