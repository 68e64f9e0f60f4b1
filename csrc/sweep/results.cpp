#include "sweep/results.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "config/config.h"
#include "run/same_recipe.h"

namespace setun::sweep {
namespace {

// What summary.json gives for a number that was not measured (run/run.h).
constexpr std::array<std::pair<std::string_view, double>, 3> kNotMeasured = {
    {{"validation_loss", 0}, {"ngram_loss", 0}, {"validation_accuracy", -1}}};

bool absent(const std::string& field, double value) {
  return std::any_of(kNotMeasured.begin(), kNotMeasured.end(), [&](const auto& known) {
    return known.first == field && known.second == value;
  });
}

// Sets the state, and the numbers when the run has finished.
void read_summary(const fs::path& path, RunResult& result) {
  try {
    const auto json = nlohmann::ordered_json::parse(read_file(path));
    if (json.at("reason").get<std::string>() != "finished") {
      return;
    }
    result.state = RunState::kFinished;
    for (const auto& [field, value] : json.items()) {
      if (value.is_null()) {  // what JSON cannot say: nan, inf
        result.numbers.emplace_back(field, std::numeric_limits<double>::quiet_NaN());
      } else if (value.is_number() && !absent(field, value.get<double>())) {
        result.numbers.emplace_back(field, value.get<double>());
      }
    }
  } catch (const nlohmann::json::exception& problem) {
    fail(path.string(), ": is damaged (", problem.what(), "); remove it to have it written anew");
  }
}

bool same_recipe(const PlannedRun& run) {
  const fs::path stored = run.folder / "config.yaml";
  return fs::exists(stored) &&
         run::recipe_changes(run.config, config::parse_resolved(read_file(stored), stored.string()))
             .empty();
}

void add_fields(const RunResult& result, std::vector<std::string>& fields) {
  for (const auto& [field, value] : result.numbers) {
    if (std::find(fields.begin(), fields.end(), field) == fields.end()) {
      fields.push_back(field);
    }
  }
}

void check_metric(const Plan& plan, const std::vector<std::string>& fields) {
  const std::string& metric = plan.file.metric;
  if (fields.empty() || std::find(fields.begin(), fields.end(), metric) != fields.end()) {
    return;
  }
  const std::string near = nearest_name(metric, fields);
  fail("metric: no finished run has a number ", metric, " in its summary.json",
       near.empty() ? "" : "; did you mean " + near + "?", " (known: ", join(fields, ", "), ")");
}

// Adds a run to its point; the metric's values go by seed to be paired later.
using BySeed = std::map<int64_t, double>;
void add_run(const RunResult& result, const PlannedRun& run, const std::string& metric,
             PointResult& point, BySeed& values) {
  ++point.planned;
  if (result.state != RunState::kFinished) {
    return;
  }
  if (const std::optional<double> value = result.number(metric)) {
    values[run.config.run.seed] = *value;
    point.not_finite += std::isfinite(*value) ? 0 : 1;
  } else {
    ++point.missing;
  }
}

std::vector<double> all_values(const BySeed& values) {
  std::vector<double> all;
  for (const auto& [seed, value] : values) {
    all.push_back(value);
  }
  return all;
}

PairedDifference difference_to(const BySeed& baseline, const BySeed& values) {
  std::vector<std::pair<double, double>> pairs;
  for (const auto& [seed, value] : values) {
    if (const auto other = baseline.find(seed); other != baseline.end()) {
      pairs.emplace_back(value, other->second);
    }
  }
  return paired_difference(pairs);
}

// `values`: of each point.
void add_statistics(const std::string& baseline, const std::vector<BySeed>& values,
                    std::vector<PointResult>& points) {
  std::map<std::vector<std::string>, std::size_t> baseline_at;  // axis values -> point
  for (std::size_t i = 0; i < points.size(); ++i) {
    points[i].metric = moments(all_values(values[i]));
    if (points[i].arm == baseline) {
      baseline_at.emplace(points[i].values, i);
    }
  }
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto other = baseline_at.find(points[i].values);
    if (other != baseline_at.end() && other->second != i) {
      points[i].difference = difference_to(values[other->second], values[i]);
    }
  }
}

void mark_best(bool maximize, std::vector<PointResult>& points) {
  PointResult* best = nullptr;
  for (PointResult& point : points) {
    if (point.metric.n == 0 || point.missing > 0 || point.not_finite > 0) {
      continue;
    }
    if (best == nullptr || (maximize ? *point.metric.mean > *best->metric.mean
                                     : *point.metric.mean < *best->metric.mean)) {
      best = &point;
    }
  }
  if (best != nullptr) {
    best->best = true;
  }
}

}  // namespace

std::optional<double> RunResult::number(const std::string& field) const {
  for (const auto& [name, value] : numbers) {
    if (name == field) {
      return value;
    }
  }
  return std::nullopt;
}

RunResult read_run(const PlannedRun& run) {
  RunResult result;
  if (fs::exists(run.folder / "summary.json")) {
    read_summary(run.folder / "summary.json", result);
  }
  if (result.state == RunState::kFinished) {
    if (!same_recipe(run)) {
      result = {.state = RunState::kChanged, .numbers = {}};
    }
  } else if (fs::exists(run.folder / "recipe.yaml")) {
    result.state = RunState::kUnfinished;
  }
  return result;
}

Results read_results(const Plan& plan, const std::set<std::string>& failed) {
  FinishedRuns finished;
  return read_results(plan, failed, finished);
}

Results read_results(const Plan& plan, const std::set<std::string>& failed,
                     FinishedRuns& finished) {
  Results results;
  std::vector<BySeed> values;
  for (const PlannedRun& run : plan.runs) {
    const auto known = finished.find(run.name);
    RunResult result = known != finished.end() ? known->second : read_run(run);
    if (failed.count(run.name) > 0) {
      result = {.state = RunState::kFailed, .numbers = {}};
    } else if (result.state == RunState::kFinished) {
      finished.emplace(run.name, result);
    }
    add_fields(result, results.fields);
    if (run.point >= results.points.size()) {
      results.points.push_back({.arm = run.arm, .values = run.values});
      values.emplace_back();
    }
    add_run(result, run, plan.file.metric, results.points[run.point], values[run.point]);
    results.runs.push_back(std::move(result));
  }
  check_metric(plan, results.fields);
  add_statistics(plan.file.baseline, values, results.points);
  mark_best(plan.file.maximize, results.points);
  return results;
}

}  // namespace setun::sweep
