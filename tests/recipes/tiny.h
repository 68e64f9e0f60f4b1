// Every recipe at a size a test can afford: the same method, sections and schedule on a model and a
// text of a few KB.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/run_config.h"

namespace setun::test {

// English-like text of about `bytes` bytes: 40 words in a fixed pseudo-random order, lines and
// paragraphs.
std::string tiny_text(std::size_t bytes);

// Enough for the phases of a recipe to be distinct steps: four, twelve for a switch at 95 %.
int tiny_steps(const RunConfig& config);

// Overrides that shrink any recipe to `steps` steps, reading `text` and writing below `folder`.
std::vector<std::string> tiny_overrides(const std::filesystem::path& text,
                                        const std::filesystem::path& folder, int steps);

// The same for a classifier's recipe of a data kind, which read generated samples: `write_samples`
// puts them below `folder`.
std::vector<std::string> tiny_sample_overrides(DataKind kind, const std::filesystem::path& folder,
                                               int steps);
void write_samples(const std::filesystem::path& folder);

// All YAML files below a folder of the source tree, sorted.
std::vector<std::filesystem::path> yaml_files(const std::filesystem::path& folder);

}  // namespace setun::test
