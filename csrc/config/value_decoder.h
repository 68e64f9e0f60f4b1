// Strict decoding of one node into one value, and of a map into a struct by its field table
// (visit_fields, as in config/fields.h; a struct of another layer brings its own table in its own
// namespace). Nothing is ignored: what does not fit, and every key without a field, is a finding.
// Used by recipes (config/decode.cpp) and by sweep files (sweep/sweep_file.cpp).
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/text.h"
#include "config/decode.h"
#include "config/fields.h"

namespace setun::config {

// The whole dotted key that an unknown key (in a map whose keys are `known`) should have been, or
// "".
using MeantKey = std::string (*)(const std::string& path, const std::vector<std::string>& known);

inline constexpr int64_t kMostSteps = 1'000'000'000'000;  // a StepPoint keeps steps exactly

inline std::string shown(const Node& node) {
  return node.kind == Node::Kind::kScalar ? "\"" + node.scalar + "\""
                                          : std::string(kind_text(node.kind));
}

// Decodes one value at `path`; reports what it expected when the node does not fit.
class ValueDecoder {
 public:
  ValueDecoder(const Node& node, std::string path, MeantKey meant,
               std::vector<LocatedFinding>& findings)
      : node_(node), path_(std::move(path)), meant_(meant), findings_(findings) {}

  void operator()(Node& out) const { out = node_; }  // any YAML, decoded later

  void operator()(bool& out) const {
    if (plain_scalar() && (node_.scalar == "true" || node_.scalar == "false")) {
      out = node_.scalar == "true";
      return;
    }
    expected("true or false");
  }
  void operator()(int64_t& out) const {
    int64_t value = 0;
    if (plain_scalar() && parse_whole(node_.scalar, value)) {
      out = value;
      return;
    }
    expected("a whole number");
  }
  void operator()(double& out) const {
    double value = 0;
    if (plain_scalar() && parse_real(node_.scalar, value)) {
      out = value;
      return;
    }
    expected("a number");
  }
  void operator()(StepPoint& out) const {
    int64_t steps = 0;
    double fraction = 0;
    if (plain_scalar() && parse_whole(node_.scalar, steps) && steps >= 0 && steps <= kMostSteps) {
      out = StepPoint::steps(steps);
      return;
    }
    if (plain_scalar() && parse_real(node_.scalar, fraction) && fraction >= 0 && fraction <= 1) {
      out = StepPoint::fraction(fraction);
      return;
    }
    expected(
        "a step (whole number, 0 or more) or a fraction of the run (0.0 to 1.0, with a point)");
  }
  void operator()(std::string& out) const {
    if (node_.kind == Node::Kind::kScalar) {
      out = node_.scalar;
      return;
    }
    expected("a text",
             node_.kind == Node::Kind::kMap ? "; a text with ': ' in it needs quotes" : "");
  }
  template <class E>
  requires std::is_enum_v<E>
  void operator()(E& out) const {
    if (node_.kind == Node::Kind::kScalar) {
      if (const std::optional<E> value = parse_enum<E>(node_.scalar)) {
        out = *value;
        return;
      }
    }
    std::vector<std::string> names;
    for (const auto& [value, name] : EnumNames<E>::table) {
      names.emplace_back(name);
    }
    const std::string near = nearest_name(node_.scalar, names);
    expected("one of " + enum_list<E>(), near.empty() ? "" : "; did you mean " + near + "?");
  }
  template <class T>
  void operator()(std::optional<T>& out) const {
    T value{};
    const std::size_t before = findings_.size();
    ValueDecoder(node_, path_, meant_, findings_)(value);
    if (findings_.size() == before) {
      out = value;
    }
  }
  template <class T>
  void operator()(std::vector<T>& out) const {
    if (node_.kind != Node::Kind::kList) {
      expected("a list");
      return;
    }
    out.clear();
    for (std::size_t i = 0; i < node_.list.size(); ++i) {
      T value{};
      ValueDecoder(node_.list[i], path_ + "[" + std::to_string(i) + "]", meant_, findings_)(value);
      out.push_back(std::move(value));
    }
  }
  template <Section T>
  void operator()(T& out) const;

 private:
  bool plain_scalar() const { return node_.kind == Node::Kind::kScalar && !node_.quoted; }

  static bool parse_whole(const std::string& text, int64_t& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
  }
  static bool parse_real(const std::string& text, double& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
  }
  void expected(const std::string& what, const std::string& hint = "") const {
    findings_.push_back({node_.where, path_, "expected " + what + ", got " + shown(node_) + hint});
  }

  const Node& node_;
  std::string path_;
  MeantKey meant_;
  std::vector<LocatedFinding>& findings_;
};

// Visits a struct's fields and decodes each key that is there; finish() reports the keys that no
// field has.
class MapDecoder {
 public:
  MapDecoder(const Node& map, const std::string& path, MeantKey meant,
             std::vector<LocatedFinding>& findings)
      : map_(map), prefix_(path.empty() ? "" : path + "."), meant_(meant), findings_(findings) {}

  template <class T>
  void operator()(const char* key, T& member, const char* /*meaning*/) {
    known_.emplace_back(key);
    if (const Node* node = map_.find(key)) {
      ValueDecoder(*node, prefix_ + key, meant_, findings_)(member);
    }
  }
  void one_or_many(const char* key, std::vector<std::string>& member, const char* /*meaning*/) {
    known_.emplace_back(key);
    const Node* node = map_.find(key);
    if (node == nullptr) {
      return;
    }
    if (node->kind == Node::Kind::kScalar) {
      member = node->scalar.empty() ? std::vector<std::string>{}
                                    : std::vector<std::string>{node->scalar};
      return;
    }
    ValueDecoder(*node, prefix_ + key, meant_, findings_)(member);
  }

  void finish() {
    for (const auto& [key, node] : map_.map) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end()) {
        continue;
      }
      const std::string meant = meant_(prefix_ + key, known_);
      const bool here = meant.starts_with(prefix_);
      const std::string near = here ? meant.substr(prefix_.size()) : meant;
      findings_.push_back({node.where, prefix_ + key,
                           "unknown key" + (near.empty() ? "" : "; did you mean " + near + "?") +
                               " (known: " + join(known_, ", ") + ")",
                           meant});
    }
  }

 private:
  const Node& map_;
  std::string prefix_;
  MeantKey meant_;
  std::vector<LocatedFinding>& findings_;
  std::vector<std::string> known_;
};

template <Section T>
void ValueDecoder::operator()(T& out) const {
  if (node_.kind == Node::Kind::kNull) {
    return;  // "optim:" with nothing below changes nothing
  }
  if (node_.kind != Node::Kind::kMap) {
    expected("a map of keys");
    return;
  }
  MapDecoder decoder(node_, path_, meant_, findings_);
  visit_fields(decoder, out);
  decoder.finish();
}

}  // namespace setun::config
