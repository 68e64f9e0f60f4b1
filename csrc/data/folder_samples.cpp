// Texts in one folder per class as bags of weighted words. The vocabulary and the document
// frequencies come from the training split alone; other words of a validation text are dropped.
#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "data/samples.h"
#include "data/words.h"

namespace setun {
namespace {

struct Text {
  fs::path path;
  int64_t label = 0;
};

using Counts = std::map<std::string, int64_t>;  // in a fixed order

std::vector<std::string> subfolders(const fs::path& root) {
  SETUN_CHECK(fs::is_directory(root), root.string(),
              ": no such folder; expected a folder with one subfolder a class");
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    if (entry.is_directory()) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The texts below <root>/<class>, by class and path. Throws Error for a folder without one.
std::vector<Text> list_texts(const fs::path& root, const std::vector<std::string>& classes,
                             const std::string& suffix) {
  std::vector<Text> texts;
  for (const std::string& name : subfolders(root)) {
    const auto found = std::find(classes.begin(), classes.end(), name);
    SETUN_CHECK(found != classes.end(), (root / name).string(),
                ": is a class that the training texts do not have; known: ", join(classes, ", "));
    std::vector<fs::path> paths;
    for (const auto& entry : fs::recursive_directory_iterator(root / name)) {
      if (entry.is_regular_file() && entry.path().string().ends_with(suffix)) {
        paths.push_back(entry.path());
      }
    }
    SETUN_CHECK(!paths.empty(), (root / name).string(), ": holds no file ending in \"", suffix,
                "\"; remove the folder, or set data.folders.suffix (empty: every file)");
    std::sort(paths.begin(), paths.end());
    for (fs::path& path : paths) {
      texts.push_back({std::move(path), found - classes.begin()});
    }
  }
  return texts;
}

Counts count_words(const fs::path& path, TextEncoding encoding) {
  const std::string text = read_file(path);
  if (encoding == TextEncoding::kUtf8) {
    const std::size_t bad = find_invalid_utf8(text);
    SETUN_CHECK(bad == std::string::npos, path.string(), ": byte ", bad,
                " is not UTF-8; convert the file (iconv), or set data.folders.encoding=latin1");
  }
  Counts counts;
  for_each_word(text, encoding, [&](const std::string& word) { ++counts[word]; });
  return counts;
}

// Ids of the words that stay, in alphabetical order, and their document-frequency factors.
class Vocabulary {
 public:
  Vocabulary(const std::vector<Counts>& texts, const std::vector<int64_t>& train,
             const FolderOptions& options)
      : weight_(options.weight) {
    std::map<std::string, std::pair<int64_t, int64_t>> all;  // occurrences, texts
    for (const int64_t i : train) {
      for (const auto& [word, count] : texts[static_cast<std::size_t>(i)]) {
        all[word].first += count;
        all[word].second += 1;
      }
    }
    for (const auto& [word, seen] : all) {
      if (seen.first >= options.min_count) {
        ids_.emplace(word, static_cast<int64_t>(factors_.size()));
        factors_.push_back(std::log((1 + static_cast<double>(train.size())) /
                                    (1 + static_cast<double>(seen.second))) +
                           1);
      }
    }
    SETUN_CHECK(!ids_.empty(), options.root,
                ": no word occurs data.folders.min_count = ", options.min_count,
                " times in the training texts; lower it");
  }

  int64_t size() const { return static_cast<int64_t>(factors_.size()); }

  void add_bag(const Counts& text, Samples& samples) const {
    samples.bag_starts.push_back(static_cast<int64_t>(samples.words.size()));
    std::vector<double> weights;
    double squares = 0;
    for (const auto& [word, count] : text) {
      const auto found = ids_.find(word);
      if (found == ids_.end()) {
        continue;
      }
      const double factor =
          weight_ == WordWeight::kTfIdf ? factors_[static_cast<std::size_t>(found->second)] : 1;
      samples.words.push_back(found->second);
      weights.push_back(static_cast<double>(count) * factor);
      squares += weights.back() * weights.back();
    }
    const double length = weight_ == WordWeight::kTfIdf ? std::sqrt(squares) : 1;
    for (const double weight : weights) {
      samples.weights.push_back(static_cast<float>(weight / length));
    }
  }

 private:
  WordWeight weight_;
  std::unordered_map<std::string, int64_t> ids_;
  std::vector<double> factors_;
};

// The training texts, then those of a given validation split.
struct Listing {
  std::vector<std::string> classes;
  std::vector<Text> texts;
  Split split;
};

Listing list_all(const DataOptions& options) {
  const FolderOptions& folders = options.folders;
  fs::path root = folders.root;
  std::vector<fs::path> validation(options.validation.begin(), options.validation.end());
  if (subfolders(root) == std::vector<std::string>{"test", "train"}) {
    SETUN_CHECK(validation.empty(), root.string(),
                ": has a test folder; leave data.validation out, or name its train folder in "
                "data.folders.root");
    validation = {root / "test"};
    root /= "train";
  }
  Listing listing;
  listing.classes = subfolders(root);
  SETUN_CHECK(!listing.classes.empty(), root.string(),
              ": has no subfolder; expected one a class, with its texts below");
  listing.texts = list_texts(root, listing.classes, folders.suffix);
  const auto given = static_cast<int64_t>(listing.texts.size());
  for (const fs::path& folder : validation) {
    const std::vector<Text> more = list_texts(folder, listing.classes, folders.suffix);
    listing.texts.insert(listing.texts.end(), more.begin(), more.end());
  }
  const auto count = static_cast<int64_t>(listing.texts.size());
  listing.split = validation.empty() ? split_samples(count, options.validation_fraction,
                                                     static_cast<uint64_t>(options.seed))
                                     : given_split(given, count);
  return listing;
}

Samples make_bags(const Listing& listing, const std::vector<int64_t>& chosen,
                  const std::vector<Counts>& counts, const Vocabulary& vocabulary) {
  Samples samples;
  for (const int64_t i : chosen) {
    samples.labels.push_back(listing.texts[static_cast<std::size_t>(i)].label);
    vocabulary.add_bag(counts[static_cast<std::size_t>(i)], samples);
  }
  return samples;
}

}  // namespace

SampleData folder_samples(const DataOptions& options) {
  const Listing listing = list_all(options);
  std::vector<Counts> counts;
  for (const Text& text : listing.texts) {
    counts.push_back(count_words(text.path, options.folders.encoding));
  }
  const Vocabulary vocabulary(counts, listing.split.train, options.folders);
  return {.train = make_bags(listing, listing.split.train, counts, vocabulary),
          .validation = make_bags(listing, listing.split.validation, counts, vocabulary),
          .classes = listing.classes,
          .vocab_size = vocabulary.size()};
}

}  // namespace setun
