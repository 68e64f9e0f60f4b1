#include "train/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/log.h"
#include "formats/tensorboard_events.h"
#include "train/progress.h"
#include "train/record_table.h"

namespace setun {
namespace {

const std::vector<std::string> kStepColumns = {
    "step",   "loss",  "lr",   "weight_decay",   "grad_norm",
    "tokens", "phase", "ramp", "auxiliary_loss", "tokens_per_second",
    "seconds"};
const std::vector<std::string> kEvalColumns = {"step", "loss", "perplexity", "bits_per_byte",
                                               "accuracy"};
const std::vector<std::string> kLayerColumns = {
    "step",  "layer",      "minus",       "zero",      "plus",       "flip_rate",
    "scale", "clip_share", "input_zeros", "grad_norm", "expert_load"};

constexpr std::string_view kEventPrefix = "events.out.tfevents.";

// The run's event file: the one a run before left behind, cut, or a new name.
fs::path event_file(const fs::path& folder, int64_t resumed_step) {
  std::vector<fs::path> found;
  if (fs::is_directory(folder)) {
    remove_temporaries(folder);  // TensorBoard would read them
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (entry.path().filename().string().starts_with(kEventPrefix)) {
        found.push_back(entry.path());
      }
    }
  }
  for (const fs::path& path : found) {
    formats::cut_events(path, resumed_step);
  }
  if (!found.empty()) {
    return *std::max_element(found.begin(), found.end());
  }
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return folder / str(kEventPrefix, std::chrono::duration_cast<std::chrono::seconds>(now).count(),
                      ".", host.data(), ".", ::getpid());
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Cell cell(const std::optional<double>& value) { return value ? Cell(*value) : Cell(); }
Cell cell_unless(double none, double value) { return value == none ? Cell() : Cell(value); }

}  // namespace

struct Metrics::State {
  State(const fs::path& folder, const MetricsOptions& options, int64_t resumed_step,
        int64_t total_steps, const std::string& unit)
      : steps(folder, "metrics", kStepColumns, resumed_step),
        evals(folder, "eval", kEvalColumns, resumed_step),
        layers(folder, "layers", kLayerColumns, resumed_step),
        progress(STDERR_FILENO, resumed_step, total_steps, unit) {
    const fs::path path = event_file(folder / "tensorboard", resumed_step);
    if (options.tensorboard) {
      fs::create_directories(path.parent_path());
      events.emplace(path);
    }
  }

  // Every numeric cell of a row as a scalar "<group>/<column>".
  void add_events(const std::vector<std::string>& columns, const std::vector<Cell>& cells,
                  const std::function<std::string(const std::string&)>& tag) {
    if (!events) {
      return;
    }
    const int64_t step = std::get<int64_t>(cells.front());
    const double now = wall_time();
    for (std::size_t i = 1; i < cells.size(); ++i) {
      if (const auto* number = std::get_if<double>(&cells[i])) {
        events->scalar(tag(columns[i]), *number, step, now);
      } else if (const auto* integer = std::get_if<int64_t>(&cells[i])) {
        events->scalar(tag(columns[i]), static_cast<double>(*integer), step, now);
      }
    }
  }

  RecordTable steps, evals, layers;
  Progress progress;
  std::optional<formats::EventWriter> events;
};

Metrics::Metrics(const fs::path& run_folder, const MetricsOptions& options, int64_t resumed_step,
                 int64_t total_steps, const std::string& unit) {
  fs::create_directories(run_folder);
  remove_temporaries(run_folder);
  state_ = std::make_unique<State>(run_folder, options, resumed_step, total_steps, unit);
}

Metrics::~Metrics() = default;

void Metrics::step(const StepRecord& record) {
  const std::vector<Cell> cells = {record.step,
                                   record.loss,
                                   record.lr,
                                   record.weight_decay,
                                   record.grad_norm,
                                   record.tokens,
                                   record.phase,
                                   record.ramp,
                                   cell(record.auxiliary_loss),
                                   record.tokens_per_second,
                                   record.seconds};
  state_->steps.row(cells);
  state_->add_events(kStepColumns, cells,
                     [](const std::string& column) { return "train/" + column; });
  state_->progress.record(record);
  flush();
}

void Metrics::eval(const EvalRecord& record) {
  const std::vector<Cell> cells = {record.step, record.loss, cell_unless(0, record.perplexity),
                                   cell_unless(0, record.bits_per_byte),
                                   cell_unless(-1, record.accuracy)};
  state_->evals.row(cells);
  state_->add_events(kEvalColumns, cells,
                     [](const std::string& column) { return "validation/" + column; });
  state_->progress.clear();
  log_info("step ", record.step, ": validation loss ", record.loss,
           record.perplexity == 0 ? "" : str(", perplexity ", record.perplexity),
           record.accuracy < 0 ? "" : str(", accuracy ", 100 * record.accuracy, " %"));
  flush();
}

void Metrics::layers(int64_t step, const std::vector<LayerRecord>& records) {
  for (const LayerRecord& record : records) {
    const std::vector<Cell> cells = {step,
                                     record.layer,
                                     cell(record.minus),
                                     cell(record.zero),
                                     cell(record.plus),
                                     cell(record.flip_rate),
                                     cell(record.scale),
                                     cell(record.clip_share),
                                     cell(record.input_zeros),
                                     cell(record.grad_norm),
                                     cell(record.expert_load)};
    state_->layers.row(cells);
    state_->add_events(kLayerColumns, cells, [&](const std::string& column) {
      return "layer_" + column + "/" + record.layer;
    });
  }
  flush();
}

void Metrics::progress(const StepRecord& record) { state_->progress.update(record); }

void Metrics::flush() {
  state_->steps.flush();
  state_->evals.flush();
  state_->layers.flush();
  if (state_->events) {
    state_->events->flush();
  }
}

}  // namespace setun
