// Text and JSONL files as documents: views into memory-mapped files (or owned strings for JSONL),
// checked to be UTF-8.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "data/data_options.h"

namespace setun {

struct Documents {
  std::vector<std::string_view> texts;              // none is empty
  std::vector<std::shared_ptr<const void>> owners;  // keep the views alive
  uint64_t content_hash = 0;                        // of every byte read, in order
  int64_t bytes() const;
};

// Reads the files in order. Throws Error: missing, empty, invalid UTF-8 (with the byte offset), bad
// JSON (with the line).
Documents read_text(const std::vector<std::string>& paths, DocumentRule rule);
Documents read_jsonl(const std::vector<std::string>& paths, const std::string& field);

// Moves the last `fraction` of the documents to the second result; with one document, its last
// part, cut at a line end (at a character when it has none). Both keep what they view alive.
std::pair<Documents, Documents> split_documents(Documents all, double fraction);

}  // namespace setun
