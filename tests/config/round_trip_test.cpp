// A config that is written and read back is the same config, whatever its fields hold.
#include <limits>

#include "config/config.h"
#include "config/decode.h"
#include "config/fields.h"
#include "config/writer.h"
#include "support/catch.h"

namespace setun {
namespace {

// Sets every field to a value that is not its default and that the rules accept somewhere.
struct Changer {
  int64_t next = 3;

  void operator()(const char*, bool& value, const char*) { value = !value; }
  void operator()(const char*, int64_t& value, const char*) { value += next++; }
  void operator()(const char*, double& value, const char*) { value = value / 3 + 0.01; }
  void operator()(const char*, std::string& value, const char*) { value += "x: \"y\"\n\\ é #"; }
  void operator()(const char*, StepPoint& value, const char*) {
    value = value.is_fraction ? StepPoint::steps(100000 * next++) : StepPoint::fraction(0.125);
  }
  template <class E>
  requires std::is_enum_v<E>
  void operator()(const char*, E& value, const char*) {
    const E before = value;
    for (const auto& [candidate, name] : EnumNames<E>::table) {
      value = candidate == before ? value : candidate;
    }
  }
  template <class T>
  void operator()(const char* key, std::optional<T>& value, const char* meaning) {
    value.emplace();
    (*this)(key, *value, meaning);
  }
  void operator()(const char*, std::vector<std::string>& value, const char*) {
    value = {"Null", "a b", "*", "- 1", "", "007", "true", "~"};
  }
  void operator()(const char*, std::vector<int64_t>& value, const char*) {
    value = {next++, next++};
  }
  void one_or_many(const char* key, std::vector<std::string>& value, const char* meaning) {
    (*this)(key, value, meaning);
  }
  template <config::Section T>
  void operator()(const char* key, std::vector<T>& value, const char* meaning) {
    value.assign(2, T{});
    (*this)(key, value.front(), meaning);
  }
  template <config::Section T>
  void operator()(const char*, T& value, const char*) {
    config::visit_fields(*this, value);
  }
};

RunConfig good() {
  RunConfig config;
  config.data.text = {"text.txt"};
  config.run.steps = 100;
  return config;
}

// Decodes without the rules across fields, which a config of arbitrary values breaks.
RunConfig decoded(const std::string& yaml) {
  std::vector<config::LocatedFinding> findings;
  const RunConfig config = config::decode(config::parse_yaml(yaml, "test"), findings);
  INFO(config::findings_text(findings) << "\n" << yaml);
  REQUIRE(findings.empty());
  return config;
}

TEST_CASE("every field changed reads back equal, in full and in short", "[config]") {
  RunConfig changed;
  Changer change;
  config::visit_fields(change, changed);
  CHECK(decoded(config::emit_yaml(changed, true)) == changed);
  CHECK(decoded(config::emit_yaml(changed, false)) == changed);
  CHECK(config::differences(changed, decoded(config::emit_yaml(changed, true))).empty());
}

std::size_t leaf_count(const config::Node& node) {
  std::size_t count = 0;
  for (const auto& [key, child] : node.map) {
    count += child.kind == config::Node::Kind::kMap ? leaf_count(child) : 1;
  }
  return count;
}

TEST_CASE("every field is written by the full form and compared by differences", "[config]") {
  RunConfig changed;
  Changer change;
  config::visit_fields(change, changed);
  // Lists are compared whole, so a key of the full form is a leaf of the comparison.
  const auto found = config::differences(RunConfig{}, changed);
  CHECK(found.size() == leaf_count(config::to_tree(RunConfig{})) - 2);  // the two estimators
  for (const config::Difference& difference : found) {
    INFO(difference.key);
    CHECK(difference.before != difference.after);
  }
}

TEST_CASE("the defaults in short are what a user must give", "[config]") {
  CHECK(config::emit_yaml(good(), false) == "data:\n  text: [text.txt]\nrun:\n  steps: 100\n");
  CHECK(config::parse_resolved(config::emit_yaml(good(), false), "test") == good());
  CHECK(config::parse_resolved(config::emit_yaml(good(), true), "test") == good());
}

TEST_CASE("numbers keep every bit", "[config]") {
  RunConfig config = good();
  for (const double value : {1e-3, 0.1, 2.0 / 3.0, 5e-324, 1.7976931348623157e308, 1e5, 100000.0,
                             std::numeric_limits<double>::min(), -0.0}) {
    config.optim.lr = value;
    CHECK(std::signbit(decoded(config::emit_yaml(config, true)).optim.lr) == std::signbit(value));
    CHECK(decoded(config::emit_yaml(config, true)).optim.lr == value);
  }
  for (const int64_t value : {INT64_MIN, int64_t{-1}, int64_t{0}, INT64_MAX}) {
    config.run.seed = value;
    CHECK(decoded(config::emit_yaml(config, true)).run.seed == value);
  }
}

TEST_CASE("a step stays a step and a fraction a fraction", "[config]") {
  RunConfig config = good();
  for (const StepPoint point :
       {StepPoint::steps(0), StepPoint::steps(1), StepPoint::steps(100000),
        StepPoint::steps(3000000), StepPoint::fraction(0), StepPoint::fraction(1),
        StepPoint::fraction(1e-5), StepPoint::fraction(1.0 / 3.0)}) {
    config.schedule.warmup = point;
    CHECK(decoded(config::emit_yaml(config, true)).schedule.warmup == point);
  }
}

TEST_CASE("texts that look like something else stay texts", "[config]") {
  RunConfig config = good();
  for (const std::string text :
       {"",    "null", "Null", "NULL",       "~",     "true",     "False",     "yes",
        "1",   "1e3",  ".5",   "0x10",       "a: b",  "a #b",     "- a",       "[a]",
        "{a}", "*a",   "&a",   "!a",         "%a",    "@a",       "`a`",       "'",
        "\"",  "\\",   "\\n",  "line\nline", "\ttab", " padded ", "é世🙂", "\x01\x7f",
        "---", "...",  "a,b",  "?",          "|"}) {
    INFO(text);
    config.generate.prompt = text;
    config.data.text = {text, text};
    const RunConfig read = decoded(config::emit_yaml(config, true));
    CHECK(read.generate.prompt == text);
    CHECK(read.data.text == config.data.text);
  }
}

}  // namespace
}  // namespace setun
