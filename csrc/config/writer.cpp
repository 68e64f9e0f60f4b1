#include "config/writer.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "config/fields.h"

namespace setun::config {
namespace {

Node scalar_node(std::string text, bool quoted = false) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.scalar = std::move(text);
  node.quoted = quoted;
  return node;
}

// Shortest text that reads back to the same double.
std::string real_text(double value) {
  char out[40];
  const auto [end, error] = std::to_chars(out, out + sizeof out, value);
  return error == std::errc() ? std::string(out, end) : "0";
}

Node node_of(bool value) { return scalar_node(value ? "true" : "false"); }
Node node_of(int64_t value) { return scalar_node(std::to_string(value)); }
Node node_of(double value) { return scalar_node(real_text(value)); }
Node node_of(const std::string& value) { return scalar_node(value, true); }
Node node_of(const StepPoint& value) {
  if (!value.is_fraction) {  // never 1e+05, which would read back as a fraction out of range
    return node_of(static_cast<int64_t>(value.value));
  }
  std::string text = real_text(value.value);
  if (text.find_first_of(".e") == std::string::npos) {
    text += ".0";  // the point is what makes it a fraction
  }
  return scalar_node(std::move(text));
}
template <class E>
requires std::is_enum_v<E> Node node_of(E value) {
  return scalar_node(std::string(enum_name(value)));
}
template <Section T>
Node node_of(const T& value);
template <class T>
Node node_of(const std::vector<T>& values) {
  Node node;
  node.kind = Node::Kind::kList;
  for (const T& value : values) {
    node.list.push_back(node_of(value));
  }
  return node;
}

class TreeWriter {
 public:
  TreeWriter() { node_.kind = Node::Kind::kMap; }
  template <class T>
  void operator()(const char* key, const T& member, const char* /*meaning*/) {
    node_.map.emplace_back(key, node_of(member));
  }
  template <class T>
  void operator()(const char* key, const std::optional<T>& member, const char* meaning) {
    if (member) {
      (*this)(key, *member, meaning);
    }
  }
  void one_or_many(const char* key, const std::vector<std::string>& member, const char* meaning) {
    (*this)(key, member, meaning);
  }
  Node take() { return std::move(node_); }

 private:
  Node node_;
};

template <Section T>
Node node_of(const T& value) {
  TreeWriter writer;
  visit_fields(writer, value);
  return writer.take();
}

// Double quotes with YAML escapes; plain when nothing could be misread.
std::string scalar_text(const Node& node) {
  const std::string& text = node.scalar;
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '/' || c == '-' || c == '+' ||
           c == '*';
  });
  const bool word =
      std::isalpha(static_cast<unsigned char>(text.empty() ? '0' : text.front())) != 0;
  const bool keyword = text == "true" || text == "false" || text == "null" || text == "Null" ||
                       text == "NULL" || text == "yes" || text == "no";
  if (plain && (!node.quoted || (word && !keyword))) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02X", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

bool flat(const Node& node) {
  return node.kind != Node::Kind::kMap &&
         std::all_of(node.list.begin(), node.list.end(),
                     [](const Node& child) { return child.kind == Node::Kind::kScalar; });
}

void write_block(const Node& node, std::size_t indent, std::string& out);

void write_list(const std::vector<Node>& list, std::size_t indent, std::string& out) {
  for (const Node& child : list) {
    std::string item;
    write_block(child, indent + 2, item);
    item.replace(indent, 1, "-");  // the dash takes the place of the item's indentation
    out += item;
  }
}

void write_block(const Node& node, std::size_t indent, std::string& out) {
  for (const auto& [key, child] : node.map) {
    out += std::string(indent, ' ') + key + ":";
    if (flat(child) || (child.kind == Node::Kind::kMap && child.map.empty())) {
      out += " " + to_flow(child) + "\n";
    } else if (child.kind == Node::Kind::kMap) {
      out += "\n";
      write_block(child, indent + 2, out);
    } else {
      out += "\n";
      write_list(child.list, indent + 2, out);
    }
  }
}

}  // namespace

Node to_tree(const RunConfig& config) { return node_of(config); }

bool keep_differences(Node& tree, const Node& defaults) {
  if (tree.kind != Node::Kind::kMap) {
    return to_flow(tree) != to_flow(defaults);
  }
  std::erase_if(tree.map, [&](auto& item) {
    const Node* other = defaults.find(item.first);
    return other != nullptr && !keep_differences(item.second, *other);
  });
  return !tree.map.empty();
}

std::string to_yaml(const Node& tree) {
  std::string out;
  write_block(tree, 0, out);
  return out;
}

std::string to_flow(const Node& node) {
  std::string out;
  switch (node.kind) {
    case Node::Kind::kNull:
      return "null";
    case Node::Kind::kScalar:
      return scalar_text(node);
    case Node::Kind::kList:
      for (const Node& child : node.list) {
        out += (out.empty() ? "" : ", ") + to_flow(child);
      }
      return "[" + out + "]";
    case Node::Kind::kMap:
      for (const auto& [key, child] : node.map) {
        out += (out.empty() ? "" : ", ") + key + ": " + to_flow(child);
      }
      return "{" + out + "}";
  }
  return out;
}

}  // namespace setun::config
