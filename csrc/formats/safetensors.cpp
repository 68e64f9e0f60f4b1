#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/output_file.h"

namespace setun::formats {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are stored as they stand in memory, little-endian");

using Json = nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 100'000'000;  // the limit of the reference implementation
constexpr std::string_view kMetadataKey = "__metadata__";

struct DtypeRow {
  Dtype dtype;
  std::string_view name;
  std::size_t size;
};
constexpr std::array<DtypeRow, 10> kDtypes = {{{Dtype::kF64, "F64", 8},
                                               {Dtype::kF32, "F32", 4},
                                               {Dtype::kF16, "F16", 2},
                                               {Dtype::kBf16, "BF16", 2},
                                               {Dtype::kI64, "I64", 8},
                                               {Dtype::kI32, "I32", 4},
                                               {Dtype::kI16, "I16", 2},
                                               {Dtype::kI8, "I8", 1},
                                               {Dtype::kU8, "U8", 1},
                                               {Dtype::kBool, "BOOL", 1}}};

const DtypeRow& row_of(Dtype dtype) {
  for (const DtypeRow& row : kDtypes) {
    if (row.dtype == dtype) {
      return row;
    }
  }
  throw InternalError("safetensors: a dtype is missing from the table");
}

Dtype parse_dtype(const Json& value, const std::string& tensor) {
  SETUN_CHECK(value.is_string(), "tensor '", tensor, "': dtype is not text");
  const auto& name = value.get_ref<const std::string&>();
  std::string known;
  for (const DtypeRow& row : kDtypes) {
    if (row.name == name) {
      return row.dtype;
    }
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  fail("tensor '", tensor, "': dtype '", name, "' is not supported (known: ", known, ")");
}

// The JSON library keeps the last of two equal keys without a word; a header that has them is
// refused instead.
Json parse_header_json(std::string_view text) {
  std::vector<std::set<std::string>> open_objects;
  const Json::parser_callback_t watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    SETUN_CHECK(depth <= 3, "header is nested deeper than a safetensors header can be");
    switch (event) {
      case Json::parse_event_t::object_start:
        open_objects.emplace_back();
        break;
      case Json::parse_event_t::object_end:
        open_objects.pop_back();
        break;
      case Json::parse_event_t::key: {
        const auto& key = parsed.get_ref<const std::string&>();
        SETUN_CHECK(open_objects.back().insert(key).second, "header names '", key, "' twice");
        break;
      }
      case Json::parse_event_t::array_start:
      case Json::parse_event_t::array_end:
      case Json::parse_event_t::value:
        break;
    }
    return true;
  };
  try {
    Json header = Json::parse(text, watch);
    SETUN_CHECK(header.is_object(), "header is not a JSON object");
    return header;
  } catch (const Json::exception& problem) {
    fail("header is not valid JSON (", problem.what(), ")");
  }
}

// A JSON value for a message, however large the file makes it.
std::string brief(const Json& value) {
  const std::string text = value.dump();
  return text.size() <= 80 ? text : text.substr(0, 77) + "...";
}

uint64_t parse_size(const Json& value, const std::string& tensor, const char* what) {
  SETUN_CHECK(value.is_number_unsigned(), "tensor '", tensor, "': ", what, " ", brief(value),
              " is not a whole number >= 0");
  const auto number = value.get<uint64_t>();
  SETUN_CHECK(number <= static_cast<uint64_t>(INT64_MAX), "tensor '", tensor, "': ", what, " ",
              number, " is too large");
  return number;
}

TensorEntry parse_entry(const std::string& name, const Json& value,
                        std::span<const std::byte> data) {
  SETUN_CHECK(value.is_object(), "tensor '", name, "': its entry is not a JSON object");
  for (const auto& item : value.items()) {
    SETUN_CHECK(item.key() == "dtype" || item.key() == "shape" || item.key() == "data_offsets",
                "tensor '", name, "': unknown key '", item.key(), "'");
  }
  SETUN_CHECK(value.size() == 3, "tensor '", name, "': needs dtype, shape and data_offsets");
  TensorEntry entry{
      .name = name, .dtype = parse_dtype(value["dtype"], name), .shape = {}, .bytes = {}};

  const Json& shape = value["shape"];
  SETUN_CHECK(shape.is_array(), "tensor '", name, "': shape is not a list");
  uint64_t expected = row_of(entry.dtype).size;
  bool overflow = false;
  for (const Json& dimension : shape) {
    const uint64_t length = parse_size(dimension, name, "dimension");
    entry.shape.push_back(static_cast<int64_t>(length));
    // A zero later on does not undo an overflow: no reader could index such a shape.
    overflow |= __builtin_mul_overflow(expected, std::max<uint64_t>(length, 1), &expected);
    overflow |= expected > static_cast<uint64_t>(INT64_MAX);
  }
  SETUN_CHECK(!overflow, "tensor '", name, "': shape ", brief(shape), " has more bytes than 2^63");
  if (std::find(entry.shape.begin(), entry.shape.end(), 0) != entry.shape.end()) {
    expected = 0;
  }

  const Json& offsets = value["data_offsets"];
  SETUN_CHECK(offsets.is_array() && offsets.size() == 2, "tensor '", name,
              "': data_offsets is not a pair");
  const uint64_t begin = parse_size(offsets[0], name, "data_offsets");
  const uint64_t end = parse_size(offsets[1], name, "data_offsets");
  SETUN_CHECK(begin <= end && end <= data.size(), "tensor '", name, "': data_offsets ",
              brief(offsets), " leave the file's ", data.size(), " data bytes");
  SETUN_CHECK(end - begin == expected, "tensor '", name, "': data_offsets ", brief(offsets),
              " hold ", end - begin, " bytes, but shape ", brief(shape), " of ",
              dtype_name(entry.dtype), " needs ", expected);
  entry.bytes = data.subspan(begin, end - begin);
  return entry;
}

std::map<std::string, std::string> parse_metadata(const Json& value) {
  SETUN_CHECK(value.is_object(), kMetadataKey, " is not a JSON object");
  std::map<std::string, std::string> metadata;
  for (const auto& item : value.items()) {
    SETUN_CHECK(item.value().is_string(), kMetadataKey, ": '", item.key(), "' is not text");
    metadata[item.key()] = item.value().get<std::string>();
  }
  return metadata;
}

// Sorts by place in the file and refuses overlaps, gaps and bytes that belong to nothing.
void check_layout(std::vector<TensorEntry>& tensors, std::span<const std::byte> data) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    const auto end = [](const TensorEntry& entry) {
      return entry.bytes.data() + entry.bytes.size();
    };
    return std::pair(a.bytes.data(), end(a)) < std::pair(b.bytes.data(), end(b));
  });
  std::size_t at = 0;
  for (const TensorEntry& tensor : tensors) {
    const auto begin = static_cast<std::size_t>(tensor.bytes.data() - data.data());
    SETUN_CHECK(begin >= at, "tensor '", tensor.name, "': overlaps the tensor before it at byte ",
                begin);
    SETUN_CHECK(begin == at, "tensor '", tensor.name, "': bytes ", at, " to ", begin,
                " before it belong to no tensor");
    at += tensor.bytes.size();
  }
  SETUN_CHECK(at == data.size(), "the last ", data.size() - at, " of ", data.size(),
              " data bytes belong to no tensor");
}

std::string make_header(const std::vector<const TensorEntry*>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    header[std::string(kMetadataKey)] = metadata;
  }
  std::size_t at = 0;
  for (const TensorEntry* tensor : tensors) {
    header[tensor->name] = {{"dtype", dtype_name(tensor->dtype)},
                            {"shape", tensor->shape},
                            {"data_offsets", {at, at + tensor->bytes.size()}}};
    at += tensor->bytes.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that tensors start at a multiple of 8
  return text;
}

void check_entry(const TensorEntry& tensor, std::set<std::string>& names) {
  std::size_t expected = dtype_size(tensor.dtype);
  for (const int64_t length : tensor.shape) {
    SETUN_ASSERT(length >= 0);
    expected *= static_cast<std::size_t>(length);
  }
  SETUN_ASSERT(expected == tensor.bytes.size(), "tensor ", tensor.name);
  SETUN_CHECK(tensor.name != kMetadataKey && names.insert(tensor.name).second,
              "safetensors: the tensor name '", tensor.name, "' is reserved or used twice");
}

}  // namespace

std::size_t dtype_size(Dtype dtype) { return row_of(dtype).size; }
std::string_view dtype_name(Dtype dtype) { return row_of(dtype).name; }

void write_safetensors(const fs::path& path, const std::vector<TensorEntry>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::set<std::string> names;
  std::vector<const TensorEntry*> order;
  for (const TensorEntry& tensor : tensors) {
    check_entry(tensor, names);
    order.push_back(&tensor);
  }
  std::stable_sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return dtype_size(a->dtype) > dtype_size(b->dtype);
  });
  const std::string header = make_header(order, metadata);
  const uint64_t length = header.size();
  OutputFile file(path, OutputFile::Mode::kTruncate);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(std::as_bytes(std::span(header)));
  for (const TensorEntry* tensor : order) {
    file.write(tensor->bytes);
  }
  file.sync();
}

std::vector<TensorEntry> parse_safetensors(std::span<const std::byte> bytes,
                                           std::map<std::string, std::string>& metadata) {
  SETUN_CHECK(bytes.size() >= kLengthBytes, "has ", bytes.size(),
              " bytes, too few for the 8-byte header length of a safetensors file");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  const std::size_t rest = bytes.size() - kLengthBytes;
  SETUN_CHECK(length <= rest && length <= kMaxHeader, "header length ", length, " exceeds the ",
              length <= rest ? "limit of 100 MB" : str(rest, " bytes that follow it"),
              "; the file is truncated or no safetensors file");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  SETUN_CHECK(text.starts_with('{'), "header does not start with '{'; no safetensors file");
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + length);
  const Json header = parse_header_json(text);
  std::vector<TensorEntry> tensors;
  metadata.clear();
  for (const auto& item : header.items()) {
    if (item.key() == kMetadataKey) {
      metadata = parse_metadata(item.value());
    } else {
      tensors.push_back(parse_entry(item.key(), item.value(), data));
    }
  }
  check_layout(tensors, data);
  return tensors;
}

SafetensorsFile::SafetensorsFile(const fs::path& path) : file_(path) {
  try {
    tensors_ = parse_safetensors(file_.bytes(), metadata_);
  } catch (const Error& problem) {
    fail(path.string(), ": ", problem.what());
  }
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                  [&](const TensorEntry& entry) { return entry.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

}  // namespace setun::formats
