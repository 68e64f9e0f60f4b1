#include "sweep/sweep_file.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "config/value_decoder.h"
#include "config/writer.h"

namespace setun::sweep {
namespace {

using config::LocatedFinding;
using config::Node;

constexpr int64_t kMostParallel = 1024;

std::string nearest_here(const std::string& path, const std::vector<std::string>& known) {
  const std::size_t dot = path.rfind('.');
  const std::string prefix = dot == std::string::npos ? "" : path.substr(0, dot + 1);
  const std::string near = nearest_name(path.substr(prefix.size()), known);
  return near.empty() ? "" : prefix + near;
}

std::string hint(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string near = nearest_name(word, candidates);
  return near.empty() ? "" : "; did you mean " + near + "?";
}

// Keys that the sweep itself decides; the reason names the way.
std::string reserved(const std::string& key) {
  if (key == "run.output") {
    return "is named by the sweep: <output>/<run>; change output";
  }
  if (key == "run.seed") {
    return "belongs in seeds, so that runs of one point are averaged; use seeds: [1, 2]";
  }
  return key == "include" ? "is not a recipe key; give an arm an include of its own" : "";
}

// Collects the rules' findings, at the place of the deepest key on the way to each.
class Rules {
 public:
  Rules(const SweepFile& file, const Node& tree, std::vector<LocatedFinding>& findings)
      : file_(file), tree_(tree), findings_(findings), undecodable_(findings) {}

  void check() {
    check_recipe("recipe", file_.recipe, /*required=*/true);
    if (file_.output.empty()) {
      add("output", "missing; name the folder of the sweep, e.g. output: runs/sweeps/first");
    }
    if (file_.parallel < 1 || file_.parallel > kMostParallel) {
      add("parallel", "must be 1 to ", kMostParallel, ", got ", file_.parallel);
    }
    if (file_.metric.empty()) {
      add("metric", "missing; name a number of summary.json, e.g. validation_loss");
    }
    check_set("set", file_.set);
    check_seeds();
    for (std::size_t i = 0; i < file_.axes.size(); ++i) {
      check_axis(file_.axes[i], str("axes[", i, "]"));
    }
    check_arms();
  }

 private:
  template <class... Parts>
  void add(const std::string& key, const Parts&... parts) {
    add_at(nearest_node(tree_, key).where, key, parts...);
  }
  template <class... Parts>
  void add_at(const config::Location& where, const std::string& key, const Parts&... parts) {
    for (const LocatedFinding& finding : undecodable_) {
      if (finding.key == key || finding.meant == key || finding.key.starts_with(key + "[")) {
        return;  // it holds its default: a rule about it would be noise
      }
    }
    findings_.push_back({where, key, str(parts...)});
  }

  void check_recipe(const std::string& key, const std::string& recipe, bool required) {
    if (recipe.empty()) {
      if (required) {
        add(key, "missing; name the recipe of the runs, e.g. recipe: recipes/quickstart.yaml");
      }
    } else if (!fs::exists(recipe)) {
      add(key, recipe, ": no such file");
    } else if (!fs::is_regular_file(recipe)) {
      add(key, recipe, ": is not a file");
    }
  }

  void check_key(const config::Location& where, const std::string& place, const std::string& key) {
    if (const std::string reason = reserved(key); !reason.empty()) {
      add_at(where, place, key, " ", reason);
    } else if (key.empty() || key.front() == '.' || key.back() == '.' ||
               key.find("..") != std::string::npos) {
      add_at(where, place, "expected a dotted recipe key such as optim.lr, got \"", key, "\"");
    }
  }

  // A value that is a map names keys below its own.
  void check_nested(const std::string& place, const std::string& key, const Node& value) {
    check_key(value.where, place, key);
    for (const auto& [name, child] : value.map) {
      check_nested(place, key + "." + name, child);
    }
  }

  void check_set(const std::string& place, const Node& set) {
    if (set.kind != Node::Kind::kMap && set.kind != Node::Kind::kNull) {
      add(place, "expected a map of dotted keys such as {run.steps: 20}, got ",
          kind_text(set.kind));
    }
    for (const auto& [key, value] : set.map) {
      check_nested(place, key, value);
    }
  }

  void check_seeds() {
    std::set<int64_t> seen;
    for (std::size_t i = 0; i < file_.seeds.size(); ++i) {
      const std::string key = str("seeds[", i, "]");
      if (file_.seeds[i] < 0) {
        add(key, "must be 0 or more, got ", file_.seeds[i]);
      } else if (!seen.insert(file_.seeds[i]).second) {
        add(key, file_.seeds[i], " stands already in the list");
      }
    }
    if (const Node* seeds = tree_.find("seeds"); seeds != nullptr && file_.seeds.empty()) {
      add("seeds", "is empty; give seeds such as [1, 2, 3], or leave the key out");
    }
  }

  void check_axis(const Axis& axis, const std::string& place) {
    if (axis.key.has_value() == !axis.keys.empty()) {
      add(place + ".key", "give one of key and keys");
      return;
    }
    const std::string named = place + (axis.key ? ".key" : ".keys");
    for (const std::string& key : axis.all_keys()) {
      check_key(nearest_node(tree_, named).where, named, key);
      if (!axis_keys_.insert(key).second) {
        add(named, key, " is an axis already; a key has one value in a run");
      }
    }
    if (axis.values.kind != Node::Kind::kList || axis.values.list.empty()) {
      add(place + ".values", "expected a list of values, got ",
          axis.values.kind == Node::Kind::kList ? "an empty list" : kind_text(axis.values.kind));
      return;
    }
    check_values(axis, place);
    check_names(axis, place);
  }

  void check_values(const Axis& axis, const std::string& place) {
    for (std::size_t i = 0; i < axis.values.list.size(); ++i) {
      const Node& value = axis.values.list[i];
      const std::string key = str(place, ".values[", i, "]");
      if (axis.key) {
        for (const auto& [name, child] : value.map) {
          check_nested(key, *axis.key + "." + name, child);
        }
      } else if (value.kind != Node::Kind::kList || value.list.size() != axis.keys.size()) {
        add(key, "expected a list of ", axis.keys.size(), " values, one for each of ",
            join(axis.keys, ", "), ", got ",
            value.kind == Node::Kind::kList ? str("a list of ", value.list.size())
                                            : std::string(kind_text(value.kind)));
      }
    }
  }

  void check_names(const Axis& axis, const std::string& place) {
    if (!axis.names.empty() && axis.names.size() != axis.values.list.size()) {
      add(place + ".names", "expected ", axis.values.list.size(),
          " names, one for each value, got ", axis.names.size());
    }
    for (std::size_t i = 0; i < axis.names.size(); ++i) {
      check_name(str(place, ".names[", i, "]"), axis.names[i]);
    }
  }

  void check_name(const std::string& place, const std::string& name) {
    if (!safe_name(name)) {
      add(place,
          "expected a name of letters, digits and . _ - + = (it becomes part of a folder's "
          "name), got \"",
          name, "\"");
    }
  }

  void check_arms() {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < file_.runs.size(); ++i) {
      const Arm& arm = file_.runs[i];
      const std::string place = str("runs[", i, "]");
      check_name(place + ".name", arm.name);
      if (std::find(names.begin(), names.end(), arm.name) != names.end()) {
        add(place + ".name", arm.name, " is the name of another arm");
      }
      names.push_back(arm.name);
      check_recipe(place + ".recipe", arm.recipe, /*required=*/false);
      if (arm.include.kind != Node::Kind::kNull && arm.include.kind != Node::Kind::kList) {
        add(place + ".include", "expected a list of fragments such as [quant/none], got ",
            kind_text(arm.include.kind));
      }
      check_set(place + ".set", arm.set);
    }
    if (!file_.baseline.empty() &&
        std::find(names.begin(), names.end(), file_.baseline) == names.end()) {
      add("baseline", file_.baseline, " is no arm of runs", hint(file_.baseline, names),
          names.empty() ? "; there are none" : " (arms: " + join(names, ", ") + ")");
    }
  }

  const SweepFile& file_;
  const Node& tree_;
  std::vector<LocatedFinding>& findings_;
  const std::vector<LocatedFinding> undecodable_;
  std::set<std::string> axis_keys_;
};

// "set.run.steps=5" is the key run.steps of the map set, whose keys are dotted, and comes last.
void lay_override(Node& root, const std::string& text) {
  constexpr std::string_view kSet = "set.";
  config::Override change = config::parse_override(text);
  if (!change.path.starts_with(kSet)) {
    config::apply_value(root, change.path, std::move(change.value));
    return;
  }
  Node set;
  set.kind = Node::Kind::kMap;
  Node* at = root.find("set");
  if (at == nullptr) {
    root.map.emplace_back("set", set);
    at = &root.map.back().second;
  } else if (at->kind == Node::Kind::kNull) {
    *at = set;
  }
  const std::string key = change.path.substr(kSet.size());
  std::erase_if(at->map, [&](const auto& item) { return item.first == key; });
  at->map.emplace_back(key, std::move(change.value));
}

}  // namespace

bool safe_name(const std::string& name) {
  return !name.empty() && name.size() <= 200 && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return (c < 0x80 && std::isalnum(c) != 0) || c == '.' || c == '_' || c == '-' ||
                  c == '+' || c == '=';
         });
}

std::vector<std::string> Axis::all_keys() const {
  return key ? std::vector<std::string>{*key} : keys;
}

std::vector<AxisPoint> Axis::points() const {
  std::vector<AxisPoint> made;
  for (std::size_t i = 0; i < values.list.size(); ++i) {
    const Node& value = values.list[i];
    made.push_back({.label = names.empty() ? "" : names[i],
                    .values = key ? std::vector<Node>{value} : value.list});
  }
  return made;
}

LoadedSweep load_sweep(const std::string& path, const std::vector<std::string>& overrides) {
  LoadedSweep loaded;
  loaded.tree = config::read_yaml(path);
  SETUN_CHECK(loaded.tree.kind == Node::Kind::kMap, path,
              ": expected the keys of a sweep, recipe: and output: among them, got ",
              kind_text(loaded.tree.kind));
  loaded.tree.where = {path, 1, 1};
  std::string problems;
  for (const std::string& text : overrides) {
    try {
      lay_override(loaded.tree, text);
    } catch (const Error& problem) {
      problems += (problems.empty() ? "" : "\n") + std::string(problem.what());
    }
  }
  SETUN_CHECK(problems.empty(), problems);
  config::ValueDecoder(loaded.tree, "", nearest_here, loaded.findings)(loaded.file);
  Rules(loaded.file, loaded.tree, loaded.findings).check();
  return loaded;
}

bool is_sweep_file(const std::string& path) {
  const Node root = config::read_yaml(path);
  return root.find("recipe") != nullptr && root.find("output") != nullptr;
}

}  // namespace setun::sweep
