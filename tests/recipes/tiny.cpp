#include "recipes/tiny.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace setun::test {

std::string tiny_text(std::size_t bytes) {
  constexpr std::array<const char*, 40> kWords = {
      "and",  "the",   "of",    "king",  "went",  "to",    "city",  "a",     "river", "stone",
      "said", "unto",  "them",  "his",   "house", "day",   "night", "light", "water", "earth",
      "man",  "woman", "child", "bread", "wine",  "field", "sheep", "gold",  "sword", "word",
      "in",   "from",  "with",  "that",  "was",   "came",  "saw",   "gave",  "took",  "great"};
  std::string text;
  uint64_t state = 1;
  for (int word = 1; text.size() < bytes; ++word) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    text += kWords[(state >> 33) % kWords.size()];
    text += word % 60 == 0 ? ".\n\n" : word % 12 == 0 ? ".\n" : " ";
  }
  return text;
}

std::vector<std::string> tiny_overrides(const std::filesystem::path& text,
                                        const std::filesystem::path& folder, int steps) {
  return {"model.hidden=128",
          "model.ffn=256",
          "model.layers=4",
          "model.heads=4",
          "model.kv_heads=2",
          "model.head_dim=32",
          "model.vocab_size=0",
          "model.max_context=64",
          "data.text=[" + text.string() + "]",
          "data.jsonl=[]",
          "data.tokens=[]",
          "data.validation=[]",
          "data.cache=" + (folder / "cache").string(),
          "data.tokenizer.model=",
          "data.tokenizer.vocab_size=300",
          "data.context=32",
          "data.batch=2",
          "run.tokens=0",
          "run.steps=" + std::to_string(steps),
          "run.output=" + (folder / "run").string(),
          "eval.every=0",
          "eval.batches=1",
          "checkpoint.every=0",
          "metrics.every=1",
          "metrics.layers_every=1"};
}

std::vector<std::filesystem::path> yaml_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace setun::test
