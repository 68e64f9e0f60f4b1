// Sorts parameters into groups by ordered patterns: class names ("1d", "embed"), roles, then names
// with '*'.
#include <algorithm>

#include "base/text.h"
#include "optim/adamw.h"

namespace setun {
namespace {

constexpr std::string_view kVectors = "1d";
constexpr std::string_view kEmbedding = "embed";

bool matches(const std::string& pattern, const NamedParameter& parameter,
             const std::vector<LayerInfo>& layers) {
  if (pattern == kVectors) {
    return parameter.tensor.dim() == 1;
  }
  if (pattern == kEmbedding) {
    return parameter.name == "embed.weight";
  }
  if (const std::optional<Role> role = parse_enum<Role>(pattern)) {
    return std::any_of(layers.begin(), layers.end(), [&](const LayerInfo& layer) {
      return layer.role == *role && parameter.name == layer.name + ".weight";
    });
  }
  return wildcard_match(pattern, parameter.name);
}

[[noreturn]] void fail_without_hit(size_t index, const std::string& pattern, bool hit_taken,
                                   const std::vector<NamedParameter>& parameters) {
  const std::string key = str("optim.groups[", index, "].match: \"", pattern, "\" ");
  if (hit_taken) {
    fail(key,
         "matches only parameters that earlier groups took; first match wins, so put it before "
         "them");
  }
  std::vector<std::string> names;
  for (const NamedParameter& parameter : parameters) {
    names.push_back(parameter.name);
  }
  const std::string near = nearest_name(pattern, names);
  fail(key, "matches no parameter", near.empty() ? "" : "; did you mean " + near + "?",
       " A match is 1d, embed, a role (", enum_list<Role>(),
       ") or a parameter name with '*', such as ", names.front(), " or ", names.back());
}

}  // namespace

std::vector<ParamGroup> make_param_groups(const std::vector<NamedParameter>& parameters,
                                          const std::vector<LayerInfo>& layers,
                                          const OptimOptions& options) {
  SETUN_ASSERT(!parameters.empty(), "a model without parameters");
  std::vector<ParamGroup> groups;
  std::vector<bool> taken(parameters.size(), false);
  for (size_t g = 0; g < options.groups.size(); ++g) {
    const ParamGroupOptions& wanted = options.groups[g];
    ParamGroup group{
        .parameters = {}, .lr_scale = wanted.lr_scale, .weight_decay = wanted.weight_decay};
    bool hit_taken = false;
    for (size_t p = 0; p < parameters.size(); ++p) {
      if (!matches(wanted.match, parameters[p], layers)) {
        continue;
      }
      if (taken[p]) {
        hit_taken = true;
      } else {
        taken[p] = true;
        group.parameters.push_back(parameters[p]);
      }
    }
    // A model without gains has no vectors; the default group for them is then empty, not a
    // mistake.
    if (group.parameters.empty() && (hit_taken || wanted.match != kVectors)) {
      fail_without_hit(g, wanted.match, hit_taken, parameters);
    }
    groups.push_back(std::move(group));
  }
  ParamGroup rest;
  for (size_t p = 0; p < parameters.size(); ++p) {
    if (!taken[p]) {
      rest.parameters.push_back(parameters[p]);
    }
  }
  groups.push_back(std::move(rest));
  return groups;
}

}  // namespace setun
