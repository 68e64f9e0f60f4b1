#include "recipes/tiny.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>

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

int tiny_steps(const RunConfig& config) {
  constexpr int kFew = 4, kMore = 12;
  for (const QuantPhase& phase : config.quant.phases) {
    if (phase.at.resolve(kFew) >= kFew) {
      return kMore;
    }
  }
  return kFew;
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
          "data.cache=" + (text.parent_path() / "cache").string(),  // shared by all recipes
          "data.tokenizer.model=",
          "data.tokenizer.vocab_size=300",
          "data.context=32",
          "data.batch=2",
          "quant.attention.from=0.5",  // a few steps before the change, a few after it
          "run.tokens=0",
          "run.steps=" + std::to_string(steps),
          "run.output=" + (folder / "run").string(),
          "eval.every=0",
          "eval.batches=1",
          "checkpoint.every=0",
          "metrics.every=1",
          "metrics.layers_every=1"};
}

void write_samples(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  std::ofstream table(folder / "tiny.csv");
  uint64_t state = 1;
  for (int row = 0; row < 90; ++row) {
    for (int column = 0; column < 8; ++column) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      table << (state >> 60) + static_cast<uint64_t>(column == row % 3 ? 9 : 0) << ",";
    }
    table << row % 3 << "\n";
  }
  const std::string text = tiny_text(9'000);
  for (int i = 0; i < 30; ++i) {
    const auto place = folder / "tiny_texts" / (i % 2 == 0 ? "even" : "odd");
    std::filesystem::create_directories(place);
    std::ofstream(place / (std::to_string(i) + ".txt"))
        << text.substr(static_cast<std::size_t>(i) * 300, 300) << (i % 2 == 0 ? " red" : " blue");
  }
}

std::vector<std::string> tiny_sample_overrides(DataKind kind, const std::filesystem::path& folder,
                                               int steps) {
  std::vector<std::string> overrides = {"model.classifier.widths=[16, 12]",
                                        "model.classifier.classes=0",
                                        "data.batch=8",
                                        "run.steps=" + std::to_string(steps),
                                        "run.output=" + (folder / "run").string(),
                                        "eval.every=0",
                                        "checkpoint.every=0",
                                        "metrics.every=1",
                                        "metrics.layers_every=1"};
  switch (kind) {
    case DataKind::kXor:
      overrides.emplace_back("data.xor.samples=40");
      break;
    case DataKind::kCsv:
      overrides.push_back("data.csv.file=" + (folder / "tiny.csv").string());
      overrides.emplace_back("model.classifier.features=0");
      break;
    case DataKind::kFolders:
      overrides.push_back("data.folders.root=" + (folder / "tiny_texts").string());
      overrides.emplace_back("model.vocab_size=0");
      break;
    case DataKind::kText:
      break;
  }
  return overrides;
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
