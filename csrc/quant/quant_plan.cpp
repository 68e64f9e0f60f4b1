#include "quant/quant_plan.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "base/text.h"

namespace setun {
namespace {

// A parsed `match`: role with an optional block range, or a name pattern.
struct Matcher {
  std::optional<Role> role;
  int64_t first = 0;
  int64_t last = INT64_MAX;
  std::string pattern;

  // Whether a pattern that fits speaks of the head or of routers, and not of everything: "*" and
  // "blocks.0.*" do not mean the router.
  bool names(const LayerInfo& layer) const {
    return layer.role == Role::kRouter ? pattern.find("router") != std::string::npos
                                       : pattern != "*";
  }

  bool operator()(const LayerInfo& layer) const {
    if (role) {
      const bool anywhere = first == 0 && last == INT64_MAX;
      return layer.role == *role && (anywhere || (layer.block >= first && layer.block <= last));
    }
    return wildcard_match(pattern, layer.name) && (!only_by_name(layer.role) || names(layer));
  }
};

bool parse_number(std::string_view text, int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 0;
}

// "qkv", "down[2]", "o[0..3]", or a pattern; nullopt when a role's range cannot be read.
std::optional<Matcher> parse_match(const std::string& match) {
  const std::size_t bracket = match.find('[');
  Matcher matcher;
  matcher.role = parse_enum<Role>(match.substr(0, bracket));
  if (!matcher.role) {
    matcher.pattern = match;
    return matcher;
  }
  if (bracket == std::string::npos) {
    return matcher;
  }
  if (match.back() != ']') {
    return std::nullopt;
  }
  const std::string range = match.substr(bracket + 1, match.size() - bracket - 2);
  const std::size_t dots = range.find("..");
  const std::string last = dots == std::string::npos ? range : range.substr(dots + 2);
  if (!parse_number(range.substr(0, dots), matcher.first) || !parse_number(last, matcher.last) ||
      matcher.first > matcher.last) {
    return std::nullopt;
  }
  return matcher;
}

std::string no_hit(const std::string& match, const std::vector<LayerInfo>& layers) {
  std::vector<std::string> names;
  for (const auto& [role, name] : EnumNames<Role>::table) {
    names.emplace_back(name);
  }
  for (const LayerInfo& layer : layers) {
    names.push_back(layer.name);
  }
  const std::string near = nearest_name(match, names);
  return str("\"", match, "\" matches no layer of this model",
             near.empty() || near == match ? "" : "; did you mean " + near + "?",
             " (roles: ", enum_list<Role>(), "; names: ", layers.front().name, " ... ",
             layers.back().name, ")");
}

// The specs of all layers while patches are laid on them, and which entry of the recipe last
// changed each.
class Specs {
 public:
  Specs(const LinearSpec& base, const std::vector<LayerInfo>& layers) : layers_(layers) {
    for (const LayerInfo& layer : layers) {
      specs_.push_back(only_by_name(layer.role) ? LinearSpec{} : base);
    }
    source_.assign(layers.size(), "default");
  }

  // Applies patches in order; reports patterns that cannot be read or hit nothing.
  void apply(const std::vector<LayerPatch>& patches, const std::string& key, Errors& errors) {
    for (std::size_t i = 0; i < patches.size(); ++i) {
      apply_one(patches[i], key + "[" + std::to_string(i) + "]", errors);
    }
  }

  // Rules on what came out: an entry in between may be incomplete when a later one completes it.
  void check(Errors& errors) {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      Errors broken;
      specs_[i].validate(broken);
      for (const Errors::Finding& finding : broken.findings()) {
        report_once(source_[i] + "." + finding.key, finding.message, errors);
      }
      check_sizes(i, errors);
    }
  }

  const std::vector<LinearSpec>& all() const { return specs_; }

 private:
  void apply_one(const LayerPatch& patch, const std::string& key, Errors& errors) {
    const std::optional<Matcher> matches = parse_match(patch.match);
    if (!matches) {
      errors.add(key + ".match", "\"", patch.match, "\": expected a role with blocks such as ",
                 patch.match.substr(0, patch.match.find('[')), "[2] or [0..3]");
      return;
    }
    bool hit = false;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (!(*matches)(layers_[i])) {
        continue;
      }
      hit = true;
      const LinearSpec patched = patch.set.apply(specs_[i]);
      if (patched != specs_[i]) {
        specs_[i] = patched;
        source_[i] = key + ".set";
      }
    }
    if (!hit) {
      errors.add(key + ".match", no_hit(patch.match, layers_));
    }
  }

  // What does not divide the layer's sizes.
  void check_sizes(std::size_t layer, Errors& errors) {
    const LinearSpec& spec = specs_[layer];
    const WeightQuantSpec& weight = spec.weight;
    const int64_t columns = layers_[layer].in_features, rows = layers_[layer].out_features;
    const auto divides = [&](const char* key, int64_t part, int64_t whole, const char* what) {
      if (part > 0 && whole % part != 0) {
        report_once(
            source_[layer] + key,
            str(part, " does not divide the ", whole, " ", what, " of ", layers_[layer].name,
                "; choose a divisor, another granularity for that layer, or another width"),
            errors);
      }
    };
    if (weight.scheme != WeightScheme::kNone && weight.granularity == Granularity::kGroup) {
      divides(".weight.group_size", weight.group_size, columns, "input columns");
    }
    if (weight.scheme != WeightScheme::kNone && weight.granularity == Granularity::kPart) {
      const bool by_rows = weight.parts_axis == PartAxis::kRows;
      divides(".weight.parts", weight.parts, by_rows ? rows : columns,
              by_rows ? "output rows" : "input columns");
    }
    if (spec.sparsity.kind == SparsityKind::kNm) {
      divides(".sparsity.m", spec.sparsity.m, columns, "input columns");
    }
    check_rotation(layer, errors);
  }

  void check_rotation(std::size_t layer, Errors& errors) {
    const RotationSpec& rotation = specs_[layer].rotation;
    if (rotation.kind == RotationKind::kNone) {
      return;
    }
    const int64_t columns = layers_[layer].in_features, largest = columns & -columns;
    if (largest < kSmallestBlock) {
      report_once(
          source_[layer] + ".rotation.kind",
          str("the largest power of two that divides the ", columns, " input columns of ",
              layers_[layer].name, " is ", largest, ": blocks below ", kSmallestBlock,
              " mix too few features to spread an outlier; choose a width that is a multiple "
              "of 64, or no rotation for that layer"),
          errors);
    } else if (rotation.block > largest) {
      report_once(source_[layer] + ".rotation.block",
                  str(rotation.block, " does not divide the ", columns, " input columns of ",
                      layers_[layer].name, "; the largest block is ", largest),
                  errors);
    }
  }

  // One entry reaches many layers: its first finding about a key says enough.
  void report_once(const std::string& key, const std::string& message, Errors& errors) {
    if (reported_.insert(key).second) {
      errors.add(key, message);
    }
  }

  const std::vector<LayerInfo>& layers_;
  std::vector<LinearSpec> specs_;
  std::vector<std::string> source_;
  std::set<std::string> reported_;
};

// Latents that move between the parameter and the optimizer in the middle of a run would be a
// conversion, not a phase; projected weights that no phase quantizes would be an option without
// effect.
void check_storage(const QuantPlan& plan, Errors& errors) {
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    const WeightStorage first = plan.phases.front().specs[i].weight.storage;
    bool quantized = false;
    for (const QuantPlan::Phase& phase : plan.phases) {
      quantized = quantized || phase.specs[i].weight.scheme != WeightScheme::kNone;
      if (phase.specs[i].weight.storage != first) {
        errors.add("phases", "weight.storage of ", plan.layers[i].name, " changes at step ",
                   phase.first_step, "; set it once, in quant.default or quant.layers");
        return;
      }
    }
    if (first == WeightStorage::kProjected && !quantized) {
      errors.add(
          "default.weight.storage", "is projected for ", plan.layers[i].name,
          ", whose weights no phase quantizes; set a weight scheme for it, or storage: latent");
      return;
    }
  }
}

// A ramp mixes the results of two specs, which must stand in one basis.
void check_ramps(const QuantPlan& plan, Errors& errors) {
  for (std::size_t p = 1; p < plan.phases.size(); ++p) {
    for (std::size_t i = 0; plan.phases[p].ramp_steps > 0 && i < plan.layers.size(); ++i) {
      if (plan.phases[p].specs[i].rotation != plan.phases[p - 1].specs[i].rotation) {
        errors.add("phases[" + std::to_string(p - 1) + "].ramp", "blends ", plan.layers[i].name,
                   " across a change of its rotation, which would add vectors of two bases; "
                   "remove ramp or the change of rotation");
        return;
      }
    }
  }
}

}  // namespace

int64_t QuantPlan::phase_at(int64_t step) const {
  int64_t phase = 0;
  while (phase + 1 < static_cast<int64_t>(phases.size()) &&
         phases[static_cast<std::size_t>(phase) + 1].first_step <= step) {
    ++phase;
  }
  return phase;
}

double QuantPlan::ramp_at(int64_t step) const {
  const Phase& phase = phases[static_cast<std::size_t>(phase_at(step))];
  const int64_t into = step - phase.first_step;
  return into >= phase.ramp_steps
             ? 1.0
             : static_cast<double>(into + 1) / static_cast<double>(phase.ramp_steps + 1);
}

int64_t QuantPlan::layer_index(const std::string& name) const {
  const auto found = std::find_if(layers.begin(), layers.end(),
                                  [&](const LayerInfo& layer) { return layer.name == name; });
  SETUN_ASSERT(found != layers.end(), "no layer ", name);
  return found - layers.begin();
}

QuantPlan resolve_quant_plan(const QuantOptions& options, std::vector<LayerInfo> layers,
                             int64_t total_steps, Errors& errors) {
  QuantPlan plan;
  plan.layers = std::move(layers);
  Specs specs(options.base, plan.layers);
  specs.apply(options.layers, "layers", errors);
  specs.check(errors);
  plan.phases.push_back({0, 0, specs.all()});
  for (std::size_t i = 0; i < options.phases.size(); ++i) {
    const QuantPhase& phase = options.phases[i];
    const std::string key = "phases[" + std::to_string(i) + "]";
    const int64_t at = phase.at.resolve(total_steps), ramp = phase.ramp.resolve(total_steps);
    const int64_t before = plan.phases.back().first_step;
    if (at <= before) {
      errors.add(key + ".at", "is step ", at, ", not after the phase before it (step ", before,
                 ")");
    }
    if (total_steps > 0 && at >= total_steps) {
      errors.add(key + ".at", "is step ", at, ", but the run has ", total_steps, " steps");
    }
    specs.apply(phase.layers, key + ".layers", errors);
    specs.check(errors);
    plan.phases.push_back({at, ramp, specs.all()});
  }
  check_storage(plan, errors);
  check_ramps(plan, errors);
  plan.attention = options.attention;
  plan.attention_from = options.attention.from.resolve(total_steps);
  if (plan.attention.quantizes() && total_steps > 0 && plan.attention_from >= total_steps) {
    errors.add("attention.from", "is step ", plan.attention_from, ", but the run has ", total_steps,
               " steps, so nothing would be quantized");
  }
  return plan;
}

}  // namespace setun
