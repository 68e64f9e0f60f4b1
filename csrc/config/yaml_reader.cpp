// yaml-cpp's event parser -> Node. Events, not yaml-cpp's own nodes: those keep duplicate keys
// silently and expand aliases.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "config/node.h"

namespace setun::config {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;  // a recipe is a few KB
constexpr std::size_t kMaxDepth = 32;

constexpr const char* kAliasText =
    "YAML aliases (*name) are not supported; a pattern that begins with * needs quotes, e.g. \"*\"";

class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string name) : name_(std::move(name)) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    reject_anchor(mark, anchor);
    add(mark, Node{});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { reject(mark, kAliasText); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    reject_anchor(mark, anchor);
    reject_tag(mark, tag);
    Node node;
    node.kind = Node::Kind::kScalar;
    node.scalar = value;
    node.quoted = tag == "!";
    add(mark, std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::kList);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::kMap);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

  Node take() { return std::move(root_); }

 private:
  struct Level {
    Node node;
    std::string key;
    Location key_where;
    bool has_key = false;
  };

  Location place(const YAML::Mark& mark) const { return {name_, mark.line + 1, mark.column + 1}; }

  template <class... Parts>
  [[noreturn]] void reject(const YAML::Mark& mark, const Parts&... parts) const {
    fail(location_text(place(mark)), ": ", parts...);
  }
  void reject_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) const {
    if (anchor != 0) {
      reject(mark,
             "YAML anchors (&name) are not supported; write the value where it is used, or move it "
             "to a fragment");
    }
  }
  void reject_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?" && tag != "!") {
      reject(mark, "YAML tags (", tag, ") are not supported; remove the tag");
    }
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Node::Kind kind) {
    reject_anchor(mark, anchor);
    reject_tag(mark, tag);
    if (levels_.size() >= kMaxDepth) {
      reject(mark, "nested more than ", kMaxDepth, " levels deep");
    }
    if (!levels_.empty() && levels_.back().node.kind == Node::Kind::kMap &&
        !levels_.back().has_key) {
      reject(mark, "a key must be a plain word, not ", kind_text(kind),
             "; is a bracket or a quote left open?");
    }
    Level level;
    level.node.kind = kind;
    level.node.where = place(mark);
    levels_.push_back(std::move(level));
  }

  void close() {
    Node done = std::move(levels_.back().node);
    levels_.pop_back();
    attach(std::move(done));
  }

  void add(const YAML::Mark& mark, Node node) {
    node.where = place(mark);
    if (!levels_.empty() && levels_.back().node.kind == Node::Kind::kMap &&
        !levels_.back().has_key) {
      take_key(mark, node);
      return;
    }
    attach(std::move(node));
  }

  void take_key(const YAML::Mark& mark, const Node& node) {
    Level& level = levels_.back();
    if (node.kind != Node::Kind::kScalar) {
      reject(mark, "a key is missing before ':'");
    }
    if (node.scalar == "<<") {
      reject(mark, "YAML merge keys (<<) are not supported; use include: with fragments");
    }
    if (const Node* before = level.node.find(node.scalar)) {
      reject(mark, "duplicate key \"", node.scalar, "\"; it stands already at ",
             location_text(before->where), "; keep one of them");
    }
    level.key = node.scalar;
    level.key_where = node.where;
    level.has_key = true;
  }

  void attach(Node node) {
    if (levels_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = levels_.back();
    if (level.node.kind == Node::Kind::kList) {
      level.node.list.push_back(std::move(node));
      return;
    }
    node.where = level.key_where;
    level.node.map.emplace_back(level.key, std::move(node));
    level.has_key = false;
  }

  std::string name_;
  Node root_;
  std::vector<Level> levels_;
};

// The first line up to `last` that is indented with a tab, which YAML forbids and yaml-cpp explains
// badly; -1: none.
int tab_indented_line(const std::string& text, int last) {
  std::istringstream lines(text);
  std::string line;
  for (int number = 0; number <= last && std::getline(lines, line); ++number) {
    if (line.find('\t') < line.find_first_not_of(" \t")) {
      return number;
    }
  }
  return -1;
}

[[noreturn]] void report(const YAML::Exception& problem, const std::string& text,
                         const std::string& name) {
  const int tab = tab_indented_line(text, problem.mark.line);
  SETUN_CHECK(tab < 0, location_text({name, tab + 1, 1}),
              ": is indented with a tab; YAML wants spaces");
  const std::string where = location_text({name, problem.mark.line + 1, problem.mark.column + 1});
  SETUN_CHECK(problem.msg != YAML::ErrorMsg::UNKNOWN_ANCHOR &&
                  problem.msg != YAML::ErrorMsg::ALIAS_NOT_FOUND,
              where, ": ", kAliasText);
  fail(where, ": this is not YAML: ", problem.msg,
       "; is a bracket or a quote left open, or a value with [ ] { } , : # not in quotes?");
}

}  // namespace

Node parse_yaml(const std::string& text, const std::string& name) {
  SETUN_CHECK(text.size() <= kMaxBytes, name, ": ", text.size(), " bytes; a recipe has at most ",
              kMaxBytes);
  SETUN_CHECK(text.find('\0') == std::string::npos, name,
              ": holds a NUL byte; it is not YAML text");
  const std::size_t bad = find_invalid_utf8(text);
  SETUN_CHECK(bad == std::string::npos, name, ": byte ", bad,
              " is not valid UTF-8; save the file as UTF-8");
  std::istringstream stream(text);
  TreeBuilder builder(name);
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    TreeBuilder second(name);
    SETUN_CHECK(!parser.HandleNextDocument(second), name,
                ": holds more than one YAML document (---); keep one");
  } catch (const YAML::Exception& problem) {
    report(problem, text, name);
  }
  return builder.take();
}

Node read_yaml(const std::filesystem::path& path) {
  return parse_yaml(read_file(path), path.string());
}

}  // namespace setun::config
