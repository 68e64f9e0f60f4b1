// Labelled samples in memory: rows of numbers or bags of weighted words, and their classes. The
// sources (xor, csv, folders) make them; sample_loader.h deals them out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/data_options.h"

namespace setun {

struct Samples {
  std::vector<int64_t> labels;  // class of each sample

  int64_t features = 0;       // of each row; 0: the samples are bags
  std::vector<float> values;  // [count, features]

  std::vector<int64_t> words;       // of all bags, sample after sample
  std::vector<float> weights;       // of each word
  std::vector<int64_t> bag_starts;  // of each bag, in words

  int64_t count() const { return static_cast<int64_t>(labels.size()); }
};

struct SampleData {
  Samples train;
  Samples validation;                // count() == 0: no validation split
  std::vector<std::string> classes;  // names, by label
  int64_t vocab_size = 0;            // of bags
};

// Reads or generates what the options describe. The split, and generated samples, are a function of
// options.seed. Throws Error naming file and line for what cannot be read, and for a class without
// a training sample or a single class.
SampleData make_samples(const DataOptions& options);

// Identity of the training samples, independent of paths: a checkpoint stores it.
std::string samples_fingerprint(const Samples& samples);

// The sources. Each leaves the checks on classes to make_samples.
SampleData xor_samples(const DataOptions& options);
SampleData csv_samples(const DataOptions& options);
SampleData folder_samples(const DataOptions& options);

// Which of `count` samples train and which validate: the last `fraction` of a permutation drawn
// from the seed.
struct Split {
  std::vector<int64_t> train, validation;  // each ascending
};
Split split_samples(int64_t count, double fraction, uint64_t seed);
// The first `train` of `count` samples train, the rest validate.
Split given_split(int64_t train, int64_t count);

}  // namespace setun
