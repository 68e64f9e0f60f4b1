#include "config/suggest.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "config/node.h"
#include "config/writer.h"

namespace setun::config {
namespace {

// Names other frameworks use -> the key's name here.
constexpr std::array<std::pair<std::string_view, std::string_view>, 25> kOtherNames = {
    {{"dim", "hidden"},
     {"d_model", "hidden"},
     {"n_embd", "hidden"},
     {"hidden_size", "hidden"},
     {"n_layer", "layers"},
     {"num_hidden_layers", "layers"},
     {"depth", "layers"},
     {"n_head", "heads"},
     {"num_attention_heads", "heads"},
     {"num_key_value_heads", "kv_heads"},
     {"intermediate_size", "ffn"},
     {"rope_theta", "rope_base"},
     {"max_position_embeddings", "max_context"},
     {"learning_rate", "lr"},
     {"max_grad_norm", "clip_norm"},
     {"grad_clip", "clip_norm"},
     {"batch_size", "batch"},
     {"block_size", "context"},
     {"seq_len", "context"},
     {"max_steps", "steps"},
     {"gradient_accumulation_steps", "accumulate"},
     {"dtype", "compute"},
     {"output_dir", "output"},
     {"max_new_tokens", "tokens"},
     {"top_k", "active"}}};

// Dotted keys of the default recipe that end in `name`.
void keys_named(const Node& node, const std::string& path, std::string_view name,
                std::vector<std::string>& out) {
  for (const auto& [key, child] : node.map) {
    const std::string full = path.empty() ? key : path + "." + key;
    if (key == name) {
      out.push_back(full);
    }
    keys_named(child, full, name, out);
  }
}

// The only key of a recipe with this name, or "".
std::string only_key(std::string_view name) {
  static const Node defaults = to_tree(RunConfig{});
  std::vector<std::string> places;
  keys_named(defaults, "", name, places);
  return places.size() == 1 ? places.front() : "";
}

std::string name_here(const std::string& name) {
  std::vector<std::string> others;
  for (const auto& [other, ours] : kOtherNames) {
    others.emplace_back(other);
  }
  const std::string near = nearest_name(name, others);
  const auto found = std::find_if(kOtherNames.begin(), kOtherNames.end(),
                                  [&](const auto& names) { return names.first == near; });
  return found == kOtherNames.end() ? "" : std::string(found->second);
}

}  // namespace

std::string meant_key(const std::string& path, const std::vector<std::string>& known) {
  const std::size_t dot = path.rfind('.');
  const std::string prefix = dot == std::string::npos ? "" : path.substr(0, dot + 1);
  const std::string name = path.substr(prefix.size());
  // To the letter another framework's name for a key of this very map, before a key elsewhere.
  for (const auto& [other, ours] : kOtherNames) {
    if (other == name && std::find(known.begin(), known.end(), ours) != known.end()) {
      return prefix + std::string(ours);
    }
  }
  if (const std::string elsewhere = only_key(name); !elsewhere.empty()) {
    return elsewhere;
  }
  const std::string near = nearest_name(name, known);
  if (!near.empty()) {
    return prefix + near;
  }
  const std::string ours = name_here(name);
  if (std::find(known.begin(), known.end(), ours) != known.end()) {
    return prefix + ours;
  }
  return ours.empty() ? "" : only_key(ours);
}

}  // namespace setun::config
