// safetensors: what is written reads back; every malformed file is refused with a message that
// names what is wrong.
#include "formats/safetensors.h"

#include <cstring>

#include "base/error.h"
#include "support/catch.h"

namespace setun::formats {
namespace {

using Catch::Matchers::Contains;
using test::TempDir;

std::string bytes_of(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string out(reinterpret_cast<const char*>(&length), sizeof length);
  return out + header + data;
}

std::string problem_of(const std::string& bytes) {
  std::map<std::string, std::string> metadata;
  try {
    parse_safetensors(std::as_bytes(std::span(bytes)), metadata);
  } catch (const Error& problem) {
    return problem.what();
  }
  return "";
}

std::string one_tensor(const std::string& entry, const std::string& data) {
  return bytes_of("{\"w\":" + entry + "}", data);
}

TEST_CASE("tensors and metadata read back, in a layout aligned for every dtype", "[safetensors]") {
  const TempDir folder;
  const std::vector<float> weights = {1.5F, -2.0F, 0.0F, 4.0F, 5.0F, 6.0F};
  const std::vector<uint8_t> codes = {1, 2, 3};
  const std::vector<int64_t> steps = {-7};
  const std::vector<TensorEntry> tensors = {
      {"codes", Dtype::kU8, {3}, std::as_bytes(std::span(codes))},
      {"w\"quoted\" \xC3\xA4", Dtype::kF32, {2, 3}, std::as_bytes(std::span(weights))},
      {"empty", Dtype::kF32, {0, 4}, {}},
      {"scalar", Dtype::kI64, {}, std::as_bytes(std::span(steps))}};
  write_safetensors(folder / "t", tensors, {{"format", "pt"}, {"note", "a\nb"}});

  const SafetensorsFile file(folder / "t");
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"note", "a\nb"}});
  REQUIRE(file.tensors().size() == tensors.size());
  for (const TensorEntry& expected : tensors) {
    INFO(expected.name);
    const TensorEntry* found = file.find(expected.name);
    REQUIRE(found != nullptr);
    CHECK(found->dtype == expected.dtype);
    CHECK(found->shape == expected.shape);
    REQUIRE(found->bytes.size() == expected.bytes.size());
    CHECK(std::equal(found->bytes.begin(), found->bytes.end(), expected.bytes.begin()));
    CHECK(reinterpret_cast<uintptr_t>(found->bytes.data()) % dtype_size(found->dtype) == 0);
  }
  CHECK(file.find("absent") == nullptr);
}

TEST_CASE("a file without tensors is legal", "[safetensors]") {
  const TempDir folder;
  write_safetensors(folder / "t", {}, {});
  CHECK(SafetensorsFile(folder / "t").tensors().empty());
}

TEST_CASE("two tensors of one name, or a reserved name, are not written", "[safetensors]") {
  const TempDir folder;
  const TensorEntry empty{"a", Dtype::kF32, {0}, {}};
  CHECK_THROWS_WITH(write_safetensors(folder / "t", {empty, empty}, {}), Contains("'a'"));
  const TensorEntry reserved{"__metadata__", Dtype::kF32, {0}, {}};
  CHECK_THROWS_WITH(write_safetensors(folder / "t", {reserved}, {}), Contains("reserved"));
}

TEST_CASE("a well-formed entry is accepted, so the refusals below are about their one fault",
          "[safetensors]") {
  CHECK(problem_of(one_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})", "abcd")) ==
        "");
  CHECK(problem_of(bytes_of("{}   ", "")) == "");
}

TEST_CASE("every malformed header is refused by name", "[safetensors]") {
  struct Case {
    std::string bytes;
    std::string message;
  };
  const std::string good = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  const std::vector<Case> cases = {
      {"1234567", "has 7 bytes, too few"},
      {std::string("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8) + "{}",
       "header length 18446744073709551615"},
      {bytes_of("{}", "").substr(0, 9), "header length 2 exceeds the 1 bytes that follow"},
      {bytes_of("[]", ""), "does not start with '{'"},
      {bytes_of("{\"w\":", ""), "not valid JSON"},
      {bytes_of("{\"\xFF\":1}", ""), "not valid JSON"},
      {bytes_of("{\"w\":" + good + ",\"w\":" + good + "}", "abcd"), "names 'w' twice"},
      {one_tensor(R"({"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]})", "abcd"),
       "names 'shape' twice"},
      {one_tensor("[[[[[1]]]]]", ""), "nested deeper"},
      {one_tensor("4", ""), "'w': its entry is not a JSON object"},
      {one_tensor(R"({"shape":[1],"data_offsets":[0,4]})", "abcd"), "'w': needs dtype"},
      {one_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})", "abcd"),
       "unknown key 'x'"},
      {one_tensor(R"({"dtype":32,"shape":[1],"data_offsets":[0,4]})", "abcd"), "dtype is not text"},
      {one_tensor(R"({"dtype":"F33","shape":[1],"data_offsets":[0,4]})", "abcd"),
       "dtype 'F33' is not supported (known: F64, F32"},
      {one_tensor(R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})", "abcd"),
       "shape is not a list"},
      {one_tensor(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", "abcd"),
       "dimension -1 is not a whole number"},
      {one_tensor(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})", "abcd"),
       "dimension 1.0 is not a whole number"},
      {one_tensor(R"({"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]})", "abcd"),
       "is too large"},
      {one_tensor(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})",
                  "abcd"),
       "more bytes than 2^63"},
      {one_tensor(R"({"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]})", ""),
       "more bytes than 2^63"},
      {one_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})", "abcd"), "not a pair"},
      {one_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", "abcd"),
       "leave the file's"},
      {one_tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})", "abcd"),
       "leave the file's 4"},
      {one_tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", "abcd"), "of F32 needs 8"},
      {one_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})", "abcdefgh"),
       "bytes 0 to 4 before it belong to no tensor"},
      {one_tensor(good, "abcdefgh"), "the last 4 of 8 data bytes belong to no tensor"},
      {bytes_of("{\"a\":" + good + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
                "abcdef"),
       "'b': overlaps"},
      {bytes_of(R"({"__metadata__":[]})", ""), "__metadata__ is not a JSON object"},
      {bytes_of(R"({"__metadata__":{"a":1}})", ""), "__metadata__: 'a' is not text"}};
  for (const Case& item : cases) {
    INFO(item.bytes);
    CHECK_THAT(problem_of(item.bytes), Contains(item.message));
  }
}

TEST_CASE("a message about a huge value stays short", "[safetensors]") {
  std::string shape = "[1";
  for (int i = 0; i < 10000; ++i) {
    shape += ",1";
  }
  const std::string problem = problem_of(
      one_tensor(R"({"dtype":"F32","data_offsets":[0,2],"shape":)" + shape + "]}", "ab"));
  CHECK_THAT(problem, Contains("..."));
  CHECK(problem.size() < 300);
}

TEST_CASE("the file class names the file", "[safetensors]") {
  const TempDir folder;
  test::write_text(folder / "bad.safetensors", "short");
  CHECK_THROWS_WITH(SafetensorsFile(folder / "bad.safetensors"),
                    Contains("bad.safetensors: has 5 bytes"));
}

}  // namespace
}  // namespace setun::formats
