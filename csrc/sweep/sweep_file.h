// A sweep file, decoded: which runs, laid over which recipe, compared by what. Strict like a
// recipe: every finding stands at file:line:column with the nearest key. What the keys mean
// together: docs/sweeps.md. Deliberately no knowledge of recipe keys: sweep/expand.cpp resolves
// those.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/decode.h"
#include "config/node.h"

namespace setun::sweep {

// One value of one axis: the value of each of its keys, and how run names call it ("" : the
// values).
struct AxisPoint {
  std::string label;
  std::vector<config::Node> values;
};

struct Axis {
  std::optional<std::string> key;  // exactly one of key and keys
  std::vector<std::string> keys;
  config::Node values;  // a list; with keys: of lists that give each key its value
  std::vector<std::string> names;

  // Of a checked axis.
  std::vector<std::string> all_keys() const;
  std::vector<AxisPoint> points() const;
};

// A named arm: another recipe, fragments over it, values over those.
struct Arm {
  std::string name;
  std::string recipe;
  config::Node include;
  config::Node set;
};

struct SweepFile {
  std::string recipe;
  std::string output;
  int64_t parallel = 1;
  config::Node set;
  std::vector<int64_t> seeds;
  std::vector<Axis> axes;
  std::vector<Arm> runs;
  std::string baseline;
  std::string metric = "validation_loss";
  bool maximize = false;
};

// Visits the keys as config/fields.h does; docs/sweeps.md names each.
template <class V>
void visit_fields(V& v, Axis& o) {
  v("key", o.key, "dotted recipe key");
  v("keys", o.keys, "dotted recipe keys whose values advance together");
  v("values", o.values, "the values; with keys: lists of one value a key");
  v("names", o.names, "what run names call the values");
}
template <class V>
void visit_fields(V& v, Arm& o) {
  v("name", o.name, "first part of the names of its runs");
  v("recipe", o.recipe, "recipe in place of the sweep's");
  v("include", o.include, "fragments laid over the recipe");
  v("set", o.set, "values laid over the recipe and the sweep's set");
}
template <class V>
void visit_fields(V& v, SweepFile& o) {
  v("recipe", o.recipe, "recipe of every run");
  v("output", o.output, "folder of the sweep");
  v("parallel", o.parallel, "runs at a time");
  v("set", o.set, "values laid over the recipe in every run");
  v("seeds", o.seeds, "values of run.seed; absent: the recipe's");
  v("axes", o.axes, "crossed with one another");
  v("runs", o.runs, "named arms, crossed with axes and seeds");
  v("baseline", o.baseline, "arm that paired differences are taken against");
  v("metric", o.metric, "number of summary.json that runs are compared by");
  v("maximize", o.maximize, "more of the metric is better");
}

struct LoadedSweep {
  SweepFile file;
  config::Node tree;  // with the place of every key
  std::vector<config::LocatedFinding> findings;
};

// Reads the file, lays the overrides ("parallel=1", "set.run.steps=20") over it, decodes and checks
// it. What can still be expanded is, so that its findings come with these: expand() throws both.
// Throws setun::Error when the file is not YAML or an override fits nowhere.
LoadedSweep load_sweep(const std::string& path, const std::vector<std::string>& overrides);

// True for a YAML file that is a sweep and not a recipe: it has `recipe` and `output` at the top.
bool is_sweep_file(const std::string& path);

// A name of letters, digits and . _ - + = only, fit for a folder.
bool safe_name(const std::string& name);

}  // namespace setun::sweep
