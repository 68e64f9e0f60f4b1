// Labelled samples: what each source makes of its options, how they are split and dealt out, and
// what is said about files that are not what they should be.
#include "data/samples.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/error.h"
#include "data/sample_loader.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::TempDir;
using test::write_text;

std::string message_of(const DataOptions& options) {
  try {
    make_samples(options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

DataOptions xor_options(int64_t noise, int64_t seed = 1) {
  DataOptions options;
  options.kind = DataKind::kXor;
  options.xor_bits = {.noise = noise, .samples = 300, .validation_samples = 40};
  options.seed = seed;
  return options;
}

DataOptions csv_options(const std::filesystem::path& file, const std::string& text) {
  write_text(file, text);
  DataOptions options;
  options.kind = DataKind::kCsv;
  options.csv.file = file;
  options.validation_fraction = 0;
  return options;
}

TEST_CASE("xor: two bits decide, the others are noise, and the seed draws them", "[data]") {
  const SampleData data = make_samples(xor_options(3));
  CHECK(data.train.features == 5);
  CHECK(data.train.count() == 300);
  CHECK(data.validation.count() == 40);
  CHECK(data.classes.size() == 2);
  std::set<std::vector<float>> seen;
  for (int64_t i = 0; i < data.train.count(); ++i) {
    const float* row = data.train.values.data() + 5 * i;
    CHECK((row[0] != row[1] ? 1 : 0) == data.train.labels[static_cast<std::size_t>(i)]);
    seen.insert({row, row + 5});
  }
  CHECK(seen.size() == 32);  // every corner of the cube
  CHECK(make_samples(xor_options(3)).train.values == data.train.values);
  CHECK(make_samples(xor_options(3, 2)).train.values != data.train.values);
  CHECK(make_samples(xor_options(0)).train.features == 2);
}

TEST_CASE("csv: the label column, the header and gzip are read as told", "[data]") {
  const TempDir folder;
  const std::string text = "1,2.5,0\r\n3,-4,1\r\n\r\n5,6e1,1";
  SampleData data = make_samples(csv_options(folder / "a.csv", text));
  CHECK(data.train.features == 2);
  CHECK(data.train.values == std::vector<float>{1, 2.5F, 3, -4, 5, 60});
  CHECK(data.train.labels == std::vector<int64_t>{0, 1, 1});
  CHECK(data.classes == std::vector<std::string>{"0", "1"});

  DataOptions first = csv_options(folder / "b.csv", "class,x\n1,7\n0,8\n");
  first.csv.header = true;
  first.csv.label = 0;
  data = make_samples(first);
  CHECK(data.train.values == std::vector<float>{7, 8});
  CHECK(data.train.labels == std::vector<int64_t>{1, 0});

  const std::string packed = folder / "a.csv.gz";
  gzFile file = gzopen(packed.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  DataOptions zipped = csv_options(folder / "unused.csv", text);
  zipped.csv.file = packed;
  CHECK(make_samples(zipped).train.labels == std::vector<int64_t>{0, 1, 1});
  const std::string bytes = test::read_text(packed);
  write_text(packed, bytes.substr(0, bytes.size() - 9));
  CHECK(message_of(zipped) == packed + ": is damaged gzip data (it ends in the middle)");
  std::string flipped = bytes;
  flipped[bytes.size() - 6] = static_cast<char>(flipped[bytes.size() - 6] ^ 1);  // its checksum
  write_text(packed, flipped);
  CHECK(message_of(zipped).find("is damaged gzip data (at byte ") != std::string::npos);
  write_text(packed, bytes + "tail");
  CHECK(message_of(zipped) == packed + ": has 4 bytes behind its gzip data");
}

TEST_CASE("csv: scaling is by the training split alone", "[data]") {
  const TempDir folder;
  DataOptions options = csv_options(folder / "a.csv", "2,5,0\n-4,5,1\n");
  write_text(folder / "v.csv", "8,7,1\n");
  options.validation = {folder / "v.csv"};
  CHECK(make_samples(options).validation.values == std::vector<float>{8, 7});
  options.csv.scaling = Scaling::kMax;
  SampleData data = make_samples(options);
  CHECK(data.train.values == std::vector<float>{0.5F, 1, -1, 1});
  CHECK(data.validation.values == std::vector<float>{2, 1.4F});
  options.csv.scaling = Scaling::kStandard;
  data = make_samples(options);
  CHECK(data.train.values == std::vector<float>{1, 0, -1, 0});
  CHECK(data.validation.values == std::vector<float>{3, 2});
}

TEST_CASE("csv: mistakes are told with file, line and column", "[data]") {
  const TempDir folder;
  const std::string file = folder / "bad.csv";
  const auto said = [&](const std::string& text) { return message_of(csv_options(file, text)); };
  CHECK(said("1,2,0\n1,2\n") == file + ":2: has 2 columns, the rows before it have 3");
  CHECK(said("1,2,0\n1,2,1,\n") == file + ":2: column 4: expected a finite number, got \"\"");
  CHECK(said("1,x\x01y,0\n") == file + ":1: column 2: expected a finite number, got \"x?y\"");
  CHECK(said("1,2,0\n\n1,nan,1\n") == file + ":3: column 2: expected a finite number, got \"nan\"");
  CHECK(said("1,1e999,0\n") == file + ":1: column 2: expected a finite number, got \"1e999\"");
  CHECK(said("") == file + ": holds no row of numbers");
  CHECK(said("3\n4\n") ==
        file + ": has 1 column; expected features and a class, separated by commas");
  CHECK(said("1,0.5\n") == file +
                               ": row 1, column 2: expected a class, a whole number from 0 on, got "
                               "0.5; data.csv.label names the column");
  CHECK(said("1,0\n2,-1\n").find("row 2, column 2: expected a class") != std::string::npos);
  CHECK(said("1,0\n2,0\n") ==
        "data: the samples are all of one class (0); a classifier needs two or more");
  CHECK(said("1,0\n2,2\n").find("data: class 1 has no training sample") == 0);
  DataOptions options = csv_options(file, "1,2,0\n");
  options.csv.label = 3;
  CHECK(message_of(options) ==
        file + ": has 3 columns, so data.csv.label must be -1 (the last) to 2, got 3");
  options = csv_options(file, "1,2,0\n2,3,1\n");
  write_text(folder / "v.csv", "1,0\n");
  options.validation = {folder / "v.csv"};
  CHECK(message_of(options) ==
        (folder / "v.csv").string() + ": has 1 features, the training file has 2");
}

TEST_CASE("the split is a function of the seed and of its share", "[data]") {
  const Split split = split_samples(100, 0.2, 1);
  CHECK(split.train.size() == 80);
  CHECK(split.validation.size() == 20);
  std::vector<int64_t> all = split.train;
  all.insert(all.end(), split.validation.begin(), split.validation.end());
  std::sort(all.begin(), all.end());
  std::vector<int64_t> wanted(100);
  std::iota(wanted.begin(), wanted.end(), 0);
  CHECK(all == wanted);
  CHECK(split_samples(100, 0.2, 1).validation == split.validation);
  CHECK(split_samples(100, 0.2, 2).validation != split.validation);
  CHECK(split_samples(100, 0, 1).validation.empty());
}

// Two classes of two texts each.
DataOptions folder_options(const TempDir& folder) {
  write_text(folder / "root/cats/a.txt", "The cat, the CAT: \xC3\x84pfel!");
  write_text(folder / "root/cats/deep/b.txt", "a cat");
  write_text(folder / "root/dogs/a.txt", "the dog");
  write_text(folder / "root/dogs/b.txt", "dog dog snow_1");
  write_text(folder / "root/dogs/notes.md", "unread");
  DataOptions options;
  options.kind = DataKind::kFolders;
  options.folders.root = folder / "root";
  options.folders.weight = WordWeight::kCount;
  options.validation_fraction = 0;
  return options;
}

TEST_CASE("folders: texts become bags of their lower-cased words, below any depth", "[data]") {
  const TempDir folder;
  DataOptions options = folder_options(folder);
  SampleData data = make_samples(options);
  CHECK(data.classes == std::vector<std::string>{"cats", "dogs"});
  CHECK(data.train.labels == std::vector<int64_t>{0, 0, 1, 1});
  // a, cat, dog, snow_1, the, \u00e4pfel
  CHECK(data.vocab_size == 6);
  CHECK(data.train.words == std::vector<int64_t>{1, 4, 5, 0, 1, 2, 4, 2, 3});
  CHECK(data.train.weights == std::vector<float>{2, 2, 1, 1, 1, 1, 1, 2, 1});
  CHECK(data.train.bag_starts == std::vector<int64_t>{0, 3, 5, 7});

  options.folders.min_count = 3;  // cat, dog, the
  data = make_samples(options);
  CHECK(data.vocab_size == 3);
  CHECK(data.train.words == std::vector<int64_t>{0, 2, 0, 1, 2, 1});

  options.folders.suffix = "";
  options.folders.min_count = 1;
  CHECK(make_samples(options).train.count() == 5);
}

TEST_CASE("folders: TF-IDF is the smoothed one, each bag of length 1", "[data]") {
  const TempDir folder;
  DataOptions options = folder_options(folder);
  options.folders.weight = WordWeight::kTfIdf;
  const Samples bags = make_samples(options).train;
  const double once = std::log(5.0 / 2) + 1, twice = std::log(5.0 / 3) + 1;  // texts holding it
  const std::vector<double> first = {2 * twice, 2 * twice, once};            // cat, the, aepfel
  const double length =
      std::sqrt(std::inner_product(first.begin(), first.end(), first.begin(), 0.0));
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK(bags.weights[i] == Approx(first[i] / length).epsilon(1e-6));
  }
}

TEST_CASE("folders: a given validation split only sees the training vocabulary", "[data]") {
  const TempDir folder;
  const DataOptions seeded = folder_options(folder);
  write_text(folder / "given/train/x/1", "red blue");
  write_text(folder / "given/train/y/1", "green");
  write_text(folder / "given/test/y/2", "green unknown");
  DataOptions options = seeded;
  options.folders.root = folder / "given";
  options.folders.suffix = "";
  SampleData data = make_samples(options);
  CHECK(data.vocab_size == 3);
  CHECK(data.validation.labels == std::vector<int64_t>{1});
  CHECK(data.validation.words == std::vector<int64_t>{1});
  options.folders.root = folder / "given/train";
  options.validation = {folder / "given/test"};
  CHECK(samples_fingerprint(make_samples(options).validation) ==
        samples_fingerprint(data.validation));
  write_text(folder / "given/test/z/1", "new class");
  CHECK(message_of(options) == (folder / "given/test/z").string() +
                                   ": is a class that the training texts do not have; known: x, y");
}

TEST_CASE("folders: what is no such folder is told", "[data]") {
  const TempDir folder;
  DataOptions options = folder_options(folder);
  write_text(folder / "root/cats/latin.txt", "caf\xE9");
  CHECK(message_of(options) == (folder / "root/cats/latin.txt").string() +
                                   ": byte 3 is not UTF-8; convert the file (iconv), or set "
                                   "data.folders.encoding=latin1");
  options.folders.encoding = TextEncoding::kLatin1;
  CHECK(make_samples(options).train.count() == 5);
  std::filesystem::remove(folder / "root/cats/latin.txt");
  std::filesystem::create_directories(folder / "root/empty");
  CHECK(message_of(options) == (folder / "root/empty").string() +
                                   ": holds no file ending in \".txt\"; remove the folder, or set "
                                   "data.folders.suffix (empty: every file)");
  std::filesystem::remove(folder / "root/empty");
  options.folders.min_count = 9;
  CHECK(message_of(options).find("no word occurs data.folders.min_count = 9 times") !=
        std::string::npos);
  options.folders.root = folder / "root/dogs";
  CHECK(message_of(options) ==
        (folder / "root/dogs").string() +
            ": has no subfolder; expected one a class, with its texts below");
  options.folders.root = folder / "nowhere";
  CHECK(message_of(options) ==
        (folder / "nowhere").string() +
            ": no such folder; expected a folder with one subfolder a class");
  std::filesystem::remove_all(folder / "root/dogs");
  options = folder_options(folder);
  std::filesystem::remove_all(folder / "root/dogs");
  CHECK(message_of(options) ==
        "data: the samples are all of one class (cats); a classifier needs two or more");
}

Samples numbered(int64_t count) {
  Samples samples;
  samples.features = 1;
  for (int64_t i = 0; i < count; ++i) {
    samples.values.push_back(static_cast<float>(i));
    samples.labels.push_back(i % 3);
  }
  return samples;
}

std::vector<float> values_of(SampleLoader& loader, int64_t batches) {
  std::vector<float> values;
  for (int64_t i = 0; i < batches; ++i) {
    const SampleBatch batch = loader.next();
    for (int64_t row = 0; row < batch.values_BF.size(0); ++row) {
      values.push_back(batch.values_BF[row][0].item<float>());
      CHECK(batch.labels_B[row].item<int64_t>() == static_cast<int64_t>(values.back()) % 3);
    }
  }
  return values;
}

TEST_CASE("the loader visits each sample once an epoch, in the seed's order, from any position",
          "[data]") {
  SampleLoader loader(numbered(10), {.batch = 5, .shuffle = true, .seed = 3});
  const std::vector<float> four = values_of(loader, 4);
  std::vector<float> first(four.begin(), four.begin() + 10), second(four.begin() + 10, four.end());
  CHECK(first != second);  // epochs differ
  for (std::vector<float>* epoch : {&first, &second}) {
    std::sort(epoch->begin(), epoch->end());
    CHECK(epoch->front() == 0);
    CHECK(std::adjacent_find(epoch->begin(), epoch->end()) == epoch->end());
  }
  SampleLoader again(numbered(10), {.batch = 5, .shuffle = true, .seed = 3});
  again.next();
  const LoaderPosition position = again.position();
  SampleLoader resumed(numbered(10), {.batch = 5, .shuffle = true, .seed = 3});
  resumed.seek(position);
  CHECK(values_of(resumed, 3) == std::vector<float>(four.begin() + 5, four.end()));
  SampleLoader other(numbered(10), {.batch = 5, .shuffle = true, .seed = 4});
  CHECK(values_of(other, 4) != four);
}

TEST_CASE("a short batch is dropped in training and kept in evaluation", "[data]") {
  SampleLoader training(numbered(10), {.batch = 4});
  CHECK(training.batches_per_epoch() == 2);
  CHECK(values_of(training, 3) == std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3});
  SampleLoader evaluation(numbered(10), {.batch = 4, .keep_short_batch = true});
  CHECK(evaluation.batches_per_epoch() == 3);
  CHECK(values_of(evaluation, 3).size() == 10);
  SampleLoader small(numbered(3), {.batch = 4});
  CHECK_THROWS_WITH(small.next(),
                    "data: there are 3 training samples, fewer than data.batch = 4; "
                    "lower data.batch or data.validation_fraction");
}

TEST_CASE("the fingerprint follows every value and every label", "[data]") {
  const Samples samples = numbered(10);
  const std::string before = samples_fingerprint(samples);
  CHECK(samples_fingerprint(numbered(10)) == before);
  Samples changed = samples;
  changed.values[7] += 1;
  CHECK(samples_fingerprint(changed) != before);
  changed = samples;
  changed.labels[7] = 2;
  CHECK(samples_fingerprint(changed) != before);
}

}  // namespace
}  // namespace setun
