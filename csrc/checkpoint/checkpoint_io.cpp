#include "checkpoint/checkpoint_io.h"

#include <ATen/ops/empty.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/safetensors.h"

namespace setun {
namespace {

using Json = nlohmann::ordered_json;
using formats::Dtype;

constexpr const char* kFormat = "setun checkpoint 1";
constexpr const char* kManifest = "manifest.json";
constexpr const char* kState = "state.json";
constexpr const char* kConfig = "config.yaml";
constexpr const char* kModel = "model.safetensors";
constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kMetrics = "metrics.safetensors";
constexpr std::array<const char*, 5> kFiles = {kModel, kOptimizer, kMetrics, kState, kConfig};

constexpr std::array<std::pair<Dtype, at::ScalarType>, 10> kScalarTypes = {
    {{Dtype::kF64, at::kDouble},
     {Dtype::kF32, at::kFloat},
     {Dtype::kF16, at::kHalf},
     {Dtype::kBf16, at::kBFloat16},
     {Dtype::kI64, at::kLong},
     {Dtype::kI32, at::kInt},
     {Dtype::kI16, at::kShort},
     {Dtype::kI8, at::kChar},
     {Dtype::kU8, at::kByte},
     {Dtype::kBool, at::kBool}}};

Dtype to_dtype(const NamedTensor& item) {
  for (const auto& [dtype, scalar_type] : kScalarTypes) {
    if (scalar_type == item.tensor.scalar_type()) {
      return dtype;
    }
  }
  throw InternalError("checkpoint: tensor " + item.name + " has a dtype safetensors cannot hold");
}

at::ScalarType to_scalar_type(Dtype dtype) {
  for (const auto& [candidate, scalar_type] : kScalarTypes) {
    if (candidate == dtype) {
      return scalar_type;
    }
  }
  throw InternalError("checkpoint: dtype without a scalar type");
}

void write_tensors(const std::vector<NamedTensor>& tensors, const fs::path& path) {
  std::vector<formats::TensorEntry> entries;
  for (const NamedTensor& item : tensors) {
    SETUN_ASSERT(item.tensor.is_contiguous() && item.tensor.is_cpu());
    entries.push_back({.name = item.name,
                       .dtype = to_dtype(item),
                       .shape = item.tensor.sizes().vec(),
                       .bytes = {static_cast<const std::byte*>(item.tensor.const_data_ptr()),
                                 item.tensor.nbytes()}});
  }
  formats::write_safetensors(path, entries, {{"format", "pt"}});
  fault_point("checkpoint.after_tensors");
}

std::vector<NamedTensor> read_tensors(const fs::path& path) {
  const formats::SafetensorsFile file(path);
  std::vector<NamedTensor> tensors;
  for (const formats::TensorEntry& entry : file.tensors()) {
    at::Tensor tensor = at::empty(entry.shape, to_scalar_type(entry.dtype));
    if (!entry.bytes.empty()) {
      std::memcpy(tensor.mutable_data_ptr(), entry.bytes.data(), entry.bytes.size());
    }
    tensors.push_back({entry.name, std::move(tensor)});
  }
  return tensors;
}

// Shortest text that reads back to the same double; also inf and nan, which JSON numbers cannot
// hold.
std::string exact_text(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  SETUN_ASSERT(error == std::errc());
  return {text.data(), end};
}

double parse_exact(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  SETUN_CHECK(error == std::errc() && end == text.data() + text.size(), "best_loss is '", text,
              "', expected a number");
  return value;
}

std::string state_text(const Checkpoint& checkpoint) {
  const Json state = {
      {"step", checkpoint.step},
      {"phase", checkpoint.phase},
      {"tokens", checkpoint.tokens},
      {"loader", {{"epoch", checkpoint.loader.epoch}, {"window", checkpoint.loader.window}}},
      {"data_fingerprint", checkpoint.data_fingerprint},
      {"best_loss", exact_text(checkpoint.best_loss)},
      {"best_step", checkpoint.best_step},
      {"extra", checkpoint.extra}};
  return state.dump(2) + "\n";
}

void parse_state(const std::string& text, Checkpoint& checkpoint) {
  const Json state = Json::parse(text);
  checkpoint.step = state.at("step").get<int64_t>();
  checkpoint.phase = state.at("phase").get<int64_t>();
  checkpoint.tokens = state.at("tokens").get<int64_t>();
  checkpoint.loader.epoch = state.at("loader").at("epoch").get<int64_t>();
  checkpoint.loader.window = state.at("loader").at("window").get<int64_t>();
  checkpoint.data_fingerprint = state.at("data_fingerprint").get<std::string>();
  checkpoint.best_loss = parse_exact(state.at("best_loss").get<std::string>());
  checkpoint.best_step = state.at("best_step").get<int64_t>();
  checkpoint.extra = state.at("extra").get<std::map<std::string, std::string>>();
  SETUN_CHECK(checkpoint.step >= 0 && checkpoint.tokens >= 0 && checkpoint.loader.epoch >= 0 &&
                  checkpoint.loader.window >= 0,
              "has a negative counter");
}

std::string checksum_text(const fs::path& path) {
  const MappedFile file(path);
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%08x", crc32c(file.bytes()));
  return text.data();
}

// Reads a JSON file; whatever is wrong with it becomes an Error that names the file.
template <class Read>
void read_json_file(const fs::path& path, Read read) {
  try {
    read(read_file(path));
  } catch (const nlohmann::json::exception& problem) {
    fail(path.string(), ": is damaged (", problem.what(), ")");
  }
}

void verify_files(const fs::path& folder) {
  const fs::path manifest = folder / kManifest;
  SETUN_CHECK(fs::is_directory(folder), folder.string(), ": no such checkpoint folder");
  SETUN_CHECK(fs::exists(manifest), manifest.string(),
              ": is missing; the checkpoint is incomplete");
  read_json_file(manifest, [&](const std::string& text) {
    const Json json = Json::parse(text);
    SETUN_CHECK(json.at("format") == kFormat, manifest.string(), ": format is ",
                json.at("format").dump(), ", expected \"", kFormat, "\"");
    for (const char* name : kFiles) {
      const fs::path path = folder / name;
      const Json& expected = json.at("files").at(name);
      const auto size = expected.at("size").get<uint64_t>();
      SETUN_CHECK(fs::is_regular_file(path), path.string(), ": is missing");
      SETUN_CHECK(fs::file_size(path) == size, path.string(), ": has ", fs::file_size(path),
                  " bytes, expected ", size, " (truncated or changed after it was saved)");
      SETUN_CHECK(checksum_text(path) == expected.at("crc32c").get<std::string>(), path.string(),
                  ": its checksum differs from the manifest's; bytes changed after it was saved");
    }
  });
}

}  // namespace

void write_checkpoint(const Checkpoint& checkpoint, const fs::path& folder) {
  write_tensors(checkpoint.model, folder / kModel);
  write_tensors(checkpoint.optimizer, folder / kOptimizer);
  write_tensors(checkpoint.metrics, folder / kMetrics);
  write_file_atomic(folder / kState, state_text(checkpoint));
  write_file_atomic(folder / kConfig, checkpoint.config_yaml);
  fault_point("checkpoint.before_manifest");
  Json manifest = {{"format", kFormat}, {"step", checkpoint.step}, {"files", Json::object()}};
  for (const char* name : kFiles) {
    manifest["files"][name] = {{"size", fs::file_size(folder / name)},
                               {"crc32c", checksum_text(folder / name)}};
  }
  write_file_atomic(folder / kManifest, manifest.dump(2) + "\n");
}

Checkpoint load_checkpoint(const fs::path& folder) {
  verify_files(folder);
  Checkpoint checkpoint;
  read_json_file(folder / kState, [&](const std::string& text) {
    try {
      parse_state(text, checkpoint);
    } catch (const Error& problem) {
      fail((folder / kState).string(), ": ", problem.what());
    }
  });
  checkpoint.config_yaml = read_file(folder / kConfig);
  checkpoint.model = read_tensors(folder / kModel);
  checkpoint.optimizer = read_tensors(folder / kOptimizer);
  checkpoint.metrics = read_tensors(folder / kMetrics);
  return checkpoint;
}

}  // namespace setun
