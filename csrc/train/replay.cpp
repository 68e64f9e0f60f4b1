#include "train/replay.h"

#include <ATen/ops/isfinite.h>

#include <cstdint>
#include <memory>

#include "base/text.h"

namespace setun {
namespace {

// Takes notes of the first finding alone.
class Finding {
 public:
  explicit Finding(std::vector<NamedLinear> linears) : linears_(std::move(linears)) {}

  void look_at(int64_t layer, const char* what, const at::Tensor& values) {
    if (!text_.empty() || !values.defined()) {
      return;
    }
    const int64_t bad = values.numel() - values.isfinite().sum().item<int64_t>();
    if (bad > 0) {
      text_ = str(linears_.at(static_cast<std::size_t>(layer)).name, ": ", bad, " of ",
                  values.numel(), " elements of ", what, " are not finite");
    }
  }
  const std::string& text() const { return text_; }

 private:
  std::vector<NamedLinear> linears_;
  std::string text_;
};

}  // namespace

std::string replay_non_finite(Task& task, QuantContext& context, const StepState& state,
                              int64_t micro_batches) {
  const auto finding = std::make_shared<Finding>(task.linears());
  context.begin_step(state);
  context.set_watch([finding](int64_t layer, const at::Tensor& x, const at::Tensor& y) {
    finding->look_at(layer, "its input", x);
    finding->look_at(layer, "its result", y);
    if (y.requires_grad()) {
      y.register_hook([finding, layer](const at::Tensor& gradient) {
        finding->look_at(layer, "the gradient it gets", gradient);
      });
    }
  });
  for (int64_t i = 0; i < micro_batches && finding->text().empty(); ++i) {
    const MicroBatchLoss loss = task.loss(i, context);
    if (finding->text().empty()) {
      loss.sum.backward();
    }
  }
  context.set_watch({});
  return finding->text();
}

}  // namespace setun
