#include "config/decode.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>

#include "base/text.h"
#include "config/fields.h"
#include "config/suggest.h"

namespace setun::config {
namespace {

using Findings = std::vector<LocatedFinding>;

constexpr int64_t kMostSteps = 1'000'000'000'000;  // a StepPoint keeps steps exactly

std::string shown(const Node& node) {
  return node.kind == Node::Kind::kScalar ? "\"" + node.scalar + "\""
                                          : std::string(kind_text(node.kind));
}

// Decodes one value at `path`; reports what it expected when the node does not fit.
class ValueDecoder {
 public:
  ValueDecoder(const Node& node, std::string path, Findings& findings)
      : node_(node), path_(std::move(path)), findings_(findings) {}

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
    ValueDecoder(node_, path_, findings_)(value);
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
      ValueDecoder(node_.list[i], path_ + "[" + std::to_string(i) + "]", findings_)(value);
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
  Findings& findings_;
};

// Visits a struct's fields and decodes each key that is there; finish() reports the keys that no
// field has.
class MapDecoder {
 public:
  MapDecoder(const Node& map, const std::string& path, Findings& findings)
      : map_(map), prefix_(path.empty() ? "" : path + "."), findings_(findings) {}

  template <class T>
  void operator()(const char* key, T& member, const char* /*meaning*/) {
    known_.emplace_back(key);
    if (const Node* node = map_.find(key)) {
      ValueDecoder(*node, prefix_ + key, findings_)(member);
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
    ValueDecoder(*node, prefix_ + key, findings_)(member);
  }

  void finish() {
    for (const auto& [key, node] : map_.map) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end()) {
        continue;
      }
      const std::string meant = meant_key(prefix_ + key, known_);
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
  Findings& findings_;
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
  MapDecoder decoder(node_, path_, findings_);
  visit_fields(decoder, out);
  decoder.finish();
}

}  // namespace

RunConfig decode(const Node& root, Findings& findings) {
  RunConfig config;
  ValueDecoder(root, "", findings)(config);
  return config;
}

std::string findings_text(Findings findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const auto& a, const auto& b) {
    return std::tie(a.where.file, a.where.line, a.where.column) <
           std::tie(b.where.file, b.where.line, b.where.column);
  });
  std::string text;
  std::set<std::string> printed;
  for (const LocatedFinding& finding : findings) {
    std::string line = location_text(finding.where) + ": " + finding.key +
                       (finding.key.empty() ? "" : ": ") + finding.message;
    if (printed.insert(line).second) {
      text += (text.empty() ? "" : "\n") + line;
    }
  }
  return text;
}

}  // namespace setun::config
