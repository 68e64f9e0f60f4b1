#include "data/sample_options.h"

namespace setun {
namespace {

constexpr int64_t kMostSamples = 100'000'000;
constexpr int64_t kMostColumns = 1'000'000;

void check_range(Errors& errors, const char* key, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    errors.add(key, "must be ", least, " to ", most, ", got ", value);
  }
}

}  // namespace

void XorOptions::validate(Errors& errors) const {
  check_range(errors, "noise", noise, 0, kMostColumns);
  check_range(errors, "samples", samples, 1, kMostSamples);
  check_range(errors, "validation_samples", validation_samples, 0, kMostSamples);
}

void CsvOptions::validate(Errors& errors) const {
  if (file.empty()) {
    errors.add("file", "no data: name a CSV file, e.g. data.csv.file=data/digits.csv.gz");
  }
  check_range(errors, "label", label, -1, kMostColumns);
}

void FolderOptions::validate(Errors& errors) const {
  if (root.empty()) {
    errors.add("root",
               "no data: name a folder with one subfolder a class, e.g. "
               "data.folders.root=data/kernel_docs");
  }
  check_range(errors, "min_count", min_count, 1, kMostSamples);
}

}  // namespace setun
