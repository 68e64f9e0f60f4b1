#include "sweep/expand.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "config/config.h"
#include "config/resolve.h"
#include "config/writer.h"

namespace setun::sweep {
namespace {

using config::Node;
using config::Override;

constexpr std::size_t kMostRuns = 10'000;
constexpr std::size_t kLongestName = 200;  // of 255 that file systems take

std::string value_text(const Node& value) {
  return value.kind == Node::Kind::kScalar ? value.scalar : config::to_flow(value);
}

// Every run of characters that a folder's name should not have becomes one '_'.
std::string safe_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool safe =
        (byte < 0x80 && std::isalnum(byte) != 0) || c == '.' || c == '_' || c == '-' || c == '+';
    if (safe) {
      out += c;
    } else if (!out.empty() && out.back() != '_') {
      out += '_';
    }
  }
  while (!out.empty() && out.back() == '_') {
    out.pop_back();
  }
  return out;
}

// One point of the grid: a value for every axis key.
struct GridPoint {
  std::vector<Override> values;
  std::vector<std::string> texts;
  std::string name;  // "-optim.lr=1.0e-3-small"
};

GridPoint with_axis(GridPoint point, const Axis& axis, const AxisPoint& value) {
  const std::vector<std::string> keys = axis.all_keys();
  if (!value.label.empty()) {
    point.name += "-" + (axis.key ? *axis.key + "=" : "") + value.label;
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    point.values.push_back({keys[i], value.values[i]});
    const bool plain = value.values[i].kind == Node::Kind::kScalar || value.label.empty();
    point.texts.push_back(plain ? value_text(value.values[i]) : value.label);
    if (value.label.empty()) {
      point.name += "-" + safe_text(keys[i]) + "=" + safe_text(value_text(value.values[i]));
    }
  }
  return point;
}

// The first axis varies slowest.
std::vector<GridPoint> grid(const std::vector<Axis>& axes) {
  std::vector<GridPoint> points(1);
  for (const Axis& axis : axes) {
    std::vector<GridPoint> longer;
    for (const GridPoint& point : points) {
      for (const AxisPoint& value : axis.points()) {
        longer.push_back(with_axis(point, axis, value));
        SETUN_CHECK(longer.size() <= kMostRuns, "axes: more than ", kMostRuns,
                    " combinations; split the sweep");
      }
    }
    points = std::move(longer);
  }
  return points;
}

// Findings of recipes, each once, with the runs it concerns.
class RunFindings {
 public:
  void add(const std::string& text, const std::string& run) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (runs_.find(line) == runs_.end()) {
        order_.push_back(line);
      }
      runs_[line].push_back(run);
    }
  }
  std::string text() const {
    constexpr std::size_t kNamed = 3;
    std::string out;
    for (const std::string& line : order_) {
      const std::vector<std::string>& runs = runs_.at(line);
      const std::vector<std::string> named(
          runs.begin(), runs.begin() + static_cast<std::ptrdiff_t>(std::min(runs.size(), kNamed)));
      out += str(out.empty() ? "" : "\n", line, runs.size() == 1 ? " (run " : " (runs ",
                 join(named, ", "),
                 runs.size() > kNamed ? str(" and ", runs.size() - kNamed, " more") : "", ")");
    }
    return out;
  }

 private:
  std::vector<std::string> order_;
  std::map<std::string, std::vector<std::string>> runs_;
};

Node text_node(const std::string& text) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.scalar = text;
  return node;
}

void append_set(std::vector<Override>& values, const Node& set) {
  for (const auto& [key, value] : set.map) {
    values.push_back({key, value});
  }
}

bool sets_threads(const config::ResolvedRecipe& recipe) {
  const Node* run = recipe.tree->find("run");
  return run != nullptr && run->find("threads") != nullptr;
}

// What the run was started with, so that it resumes to the bit when `parallel` changed since; 0:
// never started, or by a Setun whose recipes this one does not read (train will say so).
int64_t threads_before(const fs::path& folder) {
  for (const char* file : {"config.yaml", "recipe.yaml"}) {
    if (fs::exists(folder / file)) {
      try {
        return config::parse_resolved(read_file(folder / file), (folder / file).string())
            .run.threads;
      } catch (const Error&) {
        return 0;
      }
    }
  }
  return 0;
}

class Expansion {
 public:
  explicit Expansion(const LoadedSweep& sweep)
      : file_(sweep.file),
        axes_place_(config::location_text(config::nearest_node(sweep.tree, "axes").where)) {
    plan_.file = sweep.file;
    for (const Axis& axis : file_.axes) {
      const std::vector<std::string> keys = axis.all_keys();
      plan_.axis_keys.insert(plan_.axis_keys.end(), keys.begin(), keys.end());
    }
  }

  Plan expand() {
    std::vector<Arm> arms = file_.runs;
    if (arms.empty()) {
      arms.push_back({.name = safe_text(fs::path(file_.recipe).stem().string())});
    }
    const std::vector<GridPoint> points = grid(file_.axes);
    const std::size_t seeds = std::max<std::size_t>(file_.seeds.size(), 1);
    SETUN_CHECK(arms.size() * points.size() * seeds <= kMostRuns, file_.output, ": ",
                arms.size() * points.size() * seeds, " runs; the most is ", kMostRuns,
                "; split the sweep");
    for (const Arm& arm : arms) {
      warn_of_hidden_values(arm);
      for (const GridPoint& point : points) {
        if (file_.seeds.empty()) {
          add_run(arm, point, std::nullopt);
        }
        for (const int64_t seed : file_.seeds) {
          add_run(arm, point, seed);
        }
        ++point_;
      }
    }
    warn_of_equal_runs();
    return std::move(plan_);
  }

  std::string findings() const { return findings_.text(); }

 private:
  void add_run(const Arm& arm, const GridPoint& point, std::optional<int64_t> seed) {
    config::RecipeChanges changes{.fragments = arm.include.list, .values = {}};
    append_set(changes.values, file_.set);
    append_set(changes.values, arm.set);
    changes.values.insert(changes.values.end(), point.values.begin(), point.values.end());
    if (seed) {
      changes.values.push_back({"run.seed", text_node(std::to_string(*seed))});
    }
    const std::string shared = arm.name + point.name;
    PlannedRun run{.name = seed ? str(shared, "-s", *seed) : shared,
                   .arm = arm.name,
                   .values = point.texts,
                   .point = point_};
    try {
      const config::ResolvedRecipe recipe =
          config::load_recipe(arm.recipe.empty() ? file_.recipe : arm.recipe, changes);
      run.config = recipe.config;
      run.name = str(shared, "-s", run.config.run.seed);
      run.folder = fs::path(file_.output) / run.name;
      run.config.run.output = run.folder.string();
      choose_threads(run, recipe);
      run.check = run::check(run.config);
      findings_.add(config::located(recipe, run.check.errors), run.name);
      check_name(run);
    } catch (const Error& problem) {
      findings_.add(problem.what(), run.name);
      return;
    }
    plan_.runs.push_back(std::move(run));
  }

  void choose_threads(PlannedRun& run, const config::ResolvedRecipe& recipe) const {
    if (sets_threads(recipe)) {
      return;
    }
    const int64_t before = threads_before(run.folder);
    const int64_t cores = std::max(1U, std::thread::hardware_concurrency());
    run.config.run.threads =
        before > 0 ? before : std::max<int64_t>(1, cores / std::max<int64_t>(1, file_.parallel));
  }

  void check_name(const PlannedRun& run) {
    SETUN_CHECK(run.name.size() <= kLongestName, axes_place_, ": axes: a run's name has ",
                run.name.size(), " characters, at most ", kLongestName,
                "; give the axis short names");
    const bool added = names_.insert(run.name).second;
    SETUN_CHECK(added, axes_place_, ": axes: two runs have one name; give the axis names");
  }

  // An axis has the last word, so what an arm or the sweep sets at its keys never counts.
  void warn_of_hidden_values(const Arm& arm) {
    for (const Node* set : {&file_.set, &arm.set}) {
      for (const auto& [key, value] : set->map) {
        const auto axis = std::find(plan_.axis_keys.begin(), plan_.axis_keys.end(), key);
        if (axis != plan_.axis_keys.end()) {
          add_warning(str(config::location_text(value.where), ": set: ", key,
                          " has no effect, the axis ", key, " comes after it"));
        }
      }
    }
  }

  void warn_of_equal_runs() {
    std::map<std::string, std::string> first;
    for (const PlannedRun& run : plan_.runs) {
      RunConfig config = run.config;
      config.run.output.clear();
      const auto [before, added] = first.emplace(config::emit_yaml(config, true), run.name);
      if (!added) {
        add_warning(str(run.name, " and ", before->second, " are the same recipe"));
      }
    }
  }

  void add_warning(const std::string& text) {
    if (std::find(plan_.warnings.begin(), plan_.warnings.end(), text) == plan_.warnings.end()) {
      plan_.warnings.push_back(text);
    }
  }

  const SweepFile& file_;
  std::string axes_place_;
  Plan plan_;
  RunFindings findings_;
  std::set<std::string> names_;
  std::size_t point_ = 0;
};

// A finding about these keys leaves nothing sensible to expand.
bool expandable(const std::vector<config::LocatedFinding>& findings) {
  return std::none_of(findings.begin(), findings.end(), [](const auto& finding) {
    const std::string top = finding.key.substr(0, finding.key.find_first_of(".["));
    const std::string meant = finding.meant.substr(0, finding.meant.find_first_of(".["));
    for (const char* key : {"recipe", "set", "seeds", "axes", "runs"}) {
      if (top == key || meant == key) {
        return true;
      }
    }
    return false;
  });
}

}  // namespace

Plan expand(LoadedSweep sweep) {
  std::string text = config::findings_text(sweep.findings);
  Plan plan;
  if (expandable(sweep.findings)) {
    Expansion expansion(sweep);
    plan = expansion.expand();
    const std::string more = expansion.findings();
    text += (text.empty() || more.empty() ? "" : "\n") + more;
  }
  SETUN_CHECK(text.empty(), text);
  return plan;
}

}  // namespace setun::sweep
