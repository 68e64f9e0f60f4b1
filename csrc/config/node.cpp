#include "config/node.h"

#include <charconv>

#include "base/error.h"

namespace setun::config {
namespace {

// One part of a dotted path: a key, and the indices behind it ("layers[1]" -> layers, {1}).
struct Step {
  std::string key;
  std::vector<std::size_t> indices;
};

// `place`: where the path stands, for errors.
Step parse_step(std::string_view part, const std::string& whole, const std::string& place) {
  Step step;
  const std::size_t bracket = part.find('[');
  step.key = std::string(part.substr(0, bracket));
  SETUN_CHECK(!step.key.empty(), place, ": ", whole,
              ": expected section.key=value, e.g. optim.lr=1e-3");
  while (bracket != std::string_view::npos && part.find('[') != std::string_view::npos) {
    const std::size_t open = part.find('['), close = part.find(']', open);
    std::size_t index = 0;
    const char* first = part.data() + open + 1;
    const char* last = part.data() + (close == std::string_view::npos ? part.size() : close);
    const auto [end, error] = std::from_chars(first, last, index);
    SETUN_CHECK(close != std::string_view::npos && error == std::errc() && end == last, place, ": ",
                whole, ": expected an index such as [0] behind ", step.key);
    step.indices.push_back(index);
    part = part.substr(close + 1);
    SETUN_CHECK(part.empty() || part.front() == '[', place, ": ", whole,
                ": unexpected text behind ]");
  }
  return step;
}

std::vector<Step> parse_path(const std::string& path, const std::string& place) {
  std::vector<Step> steps;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t dot = std::min(path.find('.', start), path.size());
    steps.push_back(parse_step(std::string_view(path).substr(start, dot - start), path, place));
    start = dot + 1;
  }
  return steps;
}

void mark_command_line(Node& node) {
  node.where = {};
  for (Node& child : node.list) {
    mark_command_line(child);
  }
  for (auto& [key, child] : node.map) {
    mark_command_line(child);
  }
}

}  // namespace

std::string location_text(const Location& location) {
  if (location.line == 0) {
    return location.file.empty() ? "command line" : location.file;
  }
  return str(location.file, ":", location.line, ":", location.column);
}

std::string_view kind_text(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::kNull:
      return "nothing";
    case Node::Kind::kScalar:
      return "a single value";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "a map";
  }
  return "?";
}

Node* Node::find(std::string_view key) {
  for (auto& [name, child] : map) {
    if (name == key) {
      return &child;
    }
  }
  return nullptr;
}

const Node* Node::find(std::string_view key) const { return const_cast<Node*>(this)->find(key); }

void overlay(Node& base, Node over) {
  if (base.kind == Node::Kind::kMap && over.kind == Node::Kind::kNull) {
    return;  // "optim:" with every key below it commented out
  }
  if (base.kind != Node::Kind::kMap || over.kind != Node::Kind::kMap) {
    base = std::move(over);
    return;
  }
  base.where = over.where;
  for (auto& [key, child] : over.map) {
    if (Node* existing = base.find(key)) {
      overlay(*existing, std::move(child));
    } else {
      base.map.emplace_back(key, std::move(child));
    }
  }
}

Override parse_override(const std::string& text) {
  const std::size_t equals = text.find('=');
  SETUN_CHECK(equals != std::string::npos && equals > 0, "command line: ", text,
              ": expected section.key=value, e.g. optim.lr=1e-3");
  const std::string path = text.substr(0, equals);
  Node value = parse_yaml(text.substr(equals + 1), "command line: " + path);
  if (value.kind == Node::Kind::kNull) {  // "key=" is the empty string
    value.kind = Node::Kind::kScalar;
    value.quoted = true;
  }
  mark_command_line(value);
  return {path, std::move(value)};
}

void apply_value(Node& root, const std::string& path, Node value) {
  const std::string place = location_text(value.where);
  Node* at = &root;
  for (const Step& step : parse_path(path, place)) {
    if (at->kind == Node::Kind::kNull) {
      at->kind = Node::Kind::kMap;
    }
    SETUN_CHECK(at->kind == Node::Kind::kMap, place, ": ", path, ": the part before ", step.key,
                " is ", kind_text(at->kind), ", it has no keys");
    Node* child = at->find(step.key);
    if (child == nullptr) {
      at->map.emplace_back(step.key, Node{});
      child = &at->map.back().second;
      child->where = value.where;
    }
    at = child;
    for (const std::size_t index : step.indices) {
      SETUN_CHECK(at->kind == Node::Kind::kList, place, ": ", path, ": the recipe gives no list ",
                  step.key, " to change an element of; give the whole list, ", step.key, "=[...]");
      SETUN_CHECK(index < at->list.size(), place, ": ", path, ": the recipe's list ", step.key,
                  " has no element ", index, "; its length is ", at->list.size());
      at = &at->list[index];
    }
  }
  overlay(*at, std::move(value));
}

void apply_override(Node& root, const std::string& text) {
  Override parsed = parse_override(text);
  apply_value(root, parsed.path, std::move(parsed.value));
}

const Node& nearest_node(const Node& root, const std::string& path) {
  const Node* at = &root;
  for (const Step& step : parse_path(path, "")) {
    const Node* child = at->find(step.key);
    if (child == nullptr) {
      return *at;
    }
    at = child;
    for (const std::size_t index : step.indices) {
      if (index >= at->list.size()) {
        return *at;
      }
      at = &at->list[index];
    }
  }
  return *at;
}

}  // namespace setun::config
