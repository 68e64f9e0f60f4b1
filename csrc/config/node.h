// A YAML tree that remembers where every key and value stands: what recipes are merged and decoded
// from. Maps keep their order. Anchors, aliases, tags, duplicate keys and deep or huge files never
// become a tree.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace setun::config {

// A place in a file, or on the command line (line 0).
struct Location {
  std::string file;
  int line = 0;
  int column = 0;
};
std::string location_text(const Location& location);  // "recipes/a.yaml:3:5" or "command line"

struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string scalar;
  bool quoted = false;  // a quoted scalar is a string whatever it looks like
  std::vector<Node> list;
  struct Entry;
  std::vector<Entry> map;
  Location where;  // of the key for a map's value, of the value elsewhere

  Node* find(std::string_view key);
  const Node* find(std::string_view key) const;
};

struct Node::Entry {
  Entry(std::string key, Node value) : first(std::move(key)), second(std::move(value)) {}
  std::string first;
  Node second;
};

std::string_view kind_text(Node::Kind kind);  // "a map", "a list", ...

// Parses YAML text; `name` stands for the file in locations. Throws setun::Error `name:line:column:
// what is wrong`.
Node parse_yaml(const std::string& text, const std::string& name);
Node read_yaml(const std::filesystem::path& path);

// Lays `over` on `base`: maps merge key by key, everything else (lists too) is replaced.
void overlay(Node& base, Node over);

// "section.key=value" or "quant.layers[0].match=down", taken apart; the value is YAML and its place
// is the command line.
struct Override {
  std::string path;
  Node value;
};
Override parse_override(const std::string& text);

// Lays `value` on what stands at the dotted `path`; maps on the way there are made. Throws
// setun::Error naming the value's place and the path.
void apply_value(Node& root, const std::string& path, Node value);

// Both of the above. Throws setun::Error naming the override.
void apply_override(Node& root, const std::string& text);

// The node at a dotted path ("quant.layers[1].match"), or the deepest one on the way to it.
const Node& nearest_node(const Node& root, const std::string& path);

}  // namespace setun::config
