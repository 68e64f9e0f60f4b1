#include "data/documents.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/counter_rng.h"
#include "base/error.h"
#include "base/text.h"

namespace setun {
namespace {

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

void add_document(Documents& documents, std::string_view text) {
  if (!text.empty()) {
    documents.texts.push_back(text);
  }
}

// Paragraphs keep their final line end, so that a document ends as its lines do.
void add_paragraphs(Documents& documents, std::string_view text) {
  std::size_t start = 0;
  while (start < text.size()) {
    const std::size_t gap = text.find("\n\n", start);
    const std::size_t end = gap == std::string_view::npos ? text.size() : gap + 1;
    if (text.substr(start, end - start) != "\n") {
      add_document(documents, text.substr(start, end - start));
    }
    start = text.find_first_not_of('\n', end);
    start = std::min(start, text.size());
  }
}

void add_lines(Documents& documents, std::string_view text) {
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    add_document(documents, text.substr(start, end - start));
    start = end + 1;
  }
}

void split_by_rule(Documents& documents, std::string_view text, DocumentRule rule) {
  switch (rule) {
    case DocumentRule::kFile:
      add_document(documents, text);
      return;
    case DocumentRule::kLine:
      add_lines(documents, text);
      return;
    case DocumentRule::kParagraph:
      add_paragraphs(documents, text);
      return;
  }
}

std::shared_ptr<const MappedFile> open_text(const std::string& path, Documents& documents) {
  auto file = std::make_shared<const MappedFile>(fs::path(path));
  SETUN_CHECK(file->size() > 0, path, ": is empty; expected UTF-8 text");
  const std::size_t bad = find_invalid_utf8(text_of(*file));
  SETUN_CHECK(bad == std::string_view::npos, path, ": byte ", bad,
              " is not valid UTF-8; convert the file, e.g. iconv -f latin1 -t utf-8");
  documents.content_hash = mix64(documents.content_hash ^ random_key(file->size(), text_of(*file)));
  documents.owners.push_back(file);
  return file;
}

std::string json_text(std::string_view line, const std::string& field, const std::string& where) {
  try {
    const auto json = nlohmann::json::parse(line);
    SETUN_CHECK(json.is_object(), where, ": expected a JSON object with the key \"", field, "\"");
    const auto found = json.find(field);
    SETUN_CHECK(found != json.end(), where, ": has no key \"", field,
                "\"; name it in data.jsonl_field");
    SETUN_CHECK(found->is_string(), where, ": \"", field, "\" is not a string");
    return found->get<std::string>();
  } catch (const nlohmann::json::exception& problem) {
    fail(where, ": is not JSON: ", problem.what());
  }
}

}  // namespace

int64_t Documents::bytes() const {
  int64_t total = 0;
  for (const std::string_view text : texts) {
    total += static_cast<int64_t>(text.size());
  }
  return total;
}

Documents read_text(const std::vector<std::string>& paths, DocumentRule rule) {
  Documents documents;
  for (const std::string& path : paths) {
    split_by_rule(documents, text_of(*open_text(path, documents)), rule);
  }
  return documents;
}

Documents read_jsonl(const std::vector<std::string>& paths, const std::string& field) {
  Documents documents;
  for (const std::string& path : paths) {
    const std::string_view text = text_of(*open_text(path, documents));
    std::size_t number = 0;
    for (std::size_t start = 0; start < text.size();) {
      const std::size_t end = std::min(text.find('\n', start), text.size());
      const std::string_view line = text.substr(start, end - start);
      ++number;
      if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
        auto owned = std::make_shared<const std::string>(
            json_text(line, field, path + ":" + std::to_string(number)));
        add_document(documents, *owned);
        documents.owners.push_back(std::move(owned));
      }
      start = end + 1;
    }
  }
  return documents;
}

std::pair<Documents, Documents> split_documents(Documents all, double fraction) {
  Documents first = all, last = all;
  last.texts.clear();
  if (fraction <= 0 || all.texts.empty()) {
    return {std::move(first), std::move(last)};
  }
  if (all.texts.size() == 1) {
    const std::string_view text = all.texts.front();
    auto cut = static_cast<std::size_t>(static_cast<double>(text.size()) * (1 - fraction));
    const std::size_t line_end = text.find('\n', cut);
    cut = line_end == std::string_view::npos ? cut : line_end + 1;
    while (cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) {
      ++cut;
    }
    first.texts = {text.substr(0, cut)};
    add_document(last, text.substr(cut));
    return {std::move(first), std::move(last)};
  }
  const auto count = static_cast<double>(all.texts.size());
  const auto kept = static_cast<std::ptrdiff_t>(
      std::clamp(count - std::max(1.0, std::round(count * fraction)), 1.0, count - 1));
  last.texts.assign(all.texts.begin() + kept, all.texts.end());
  first.texts.resize(static_cast<std::size_t>(kept));
  return {std::move(first), std::move(last)};
}

}  // namespace setun
