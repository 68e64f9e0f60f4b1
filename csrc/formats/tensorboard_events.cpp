#include "formats/tensorboard_events.h"

#include <bit>
#include <chrono>
#include <cstring>
#include <optional>

namespace setun::formats {
namespace {

// Protobuf wire types.
constexpr uint64_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;
// Field numbers of Event, Summary and Summary.Value.
constexpr uint64_t kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3, kEventSummary = 5;
constexpr uint64_t kSummaryValue = 1, kValueTag = 1, kValueSimple = 2;

constexpr std::size_t kFrameHead = 12, kFrameTail = 4;  // length + checksum, checksum

template <class T>
void put_raw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<char>(value | 0x80));
  }
  out.push_back(static_cast<char>(value));
}

void put_key(std::string& out, uint64_t field, uint64_t wire) {
  put_varint(out, field << 3 | wire);
}

void put_bytes(std::string& out, uint64_t field, std::string_view bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

std::string event_head(double wall_time, int64_t step) {
  std::string out;
  put_key(out, kEventWallTime, kFixed64);
  put_raw(out, wall_time);
  put_key(out, kEventStep, kVarint);
  put_varint(out, static_cast<uint64_t>(step));
  return out;
}

// TFRecord stores checksums rotated and shifted, so that a checksum of data that holds checksums
// stays meaningful.
uint32_t masked_crc(std::span<const std::byte> bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xA282EAD8U;
}

std::string frame(const std::string& payload) {
  std::string out;
  put_raw(out, static_cast<uint64_t>(payload.size()));
  put_raw(out, masked_crc(std::as_bytes(std::span(out))));
  out += payload;
  put_raw(out, masked_crc(std::as_bytes(std::span(payload))));
  return out;
}

template <class T>
T get_raw(std::span<const std::byte> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::optional<uint64_t> take_varint(std::span<const std::byte>& bytes) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint64_t>(bytes.front());
    bytes = bytes.subspan(1);
    value |= (byte & 0x7F) << shift;
    if (byte < 0x80) {
      return value;
    }
  }
  return std::nullopt;
}

// The step of an Event (0 when the field is absent); nullopt when the bytes are no protobuf
// message.
std::optional<int64_t> event_step(std::span<const std::byte> event) {
  int64_t step = 0;
  while (!event.empty()) {
    const std::optional<uint64_t> key = take_varint(event);
    if (!key) {
      return std::nullopt;
    }
    uint64_t skip = 0;
    if ((*key & 7) == kVarint || (*key & 7) == kBytes) {
      const std::optional<uint64_t> value = take_varint(event);
      if (!value) {
        return std::nullopt;
      }
      if (*key == (kEventStep << 3 | kVarint)) {
        step = static_cast<int64_t>(*value);
      }
      skip = (*key & 7) == kBytes ? *value : 0;
    } else if ((*key & 7) == kFixed64 || (*key & 7) == kFixed32) {
      skip = (*key & 7) == kFixed64 ? 8 : 4;
    } else {
      return std::nullopt;
    }
    if (skip > event.size()) {
      return std::nullopt;
    }
    event = event.subspan(skip);
  }
  return step;
}

}  // namespace

EventWriter::EventWriter(const fs::path& path) : file_(path) {
  if (fs::file_size(path) == 0) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    std::string event = event_head(std::chrono::duration<double>(now).count(), 0);
    put_bytes(event, kEventFileVersion, "brain.Event:2");
    file_.append(frame(event));
  }
}

void EventWriter::scalar(const std::string& tag, double value, int64_t step, double wall_time) {
  std::string entry;
  put_bytes(entry, kValueTag, tag);
  put_key(entry, kValueSimple, kFixed32);
  put_raw(entry, static_cast<float>(value));
  std::string summary;
  put_bytes(summary, kSummaryValue, entry);
  std::string event = event_head(wall_time, step);
  put_bytes(event, kEventSummary, summary);
  file_.append(frame(event));
}

std::vector<EventRecord> split_events(std::span<const std::byte> bytes) {
  std::vector<EventRecord> records;
  while (bytes.size() >= kFrameHead + kFrameTail) {
    const auto length = get_raw<uint64_t>(bytes, 0);
    if (get_raw<uint32_t>(bytes, 8) != masked_crc(bytes.first(8)) ||
        length > bytes.size() - kFrameHead - kFrameTail) {
      break;
    }
    const std::span<const std::byte> payload = bytes.subspan(kFrameHead, length);
    const std::optional<int64_t> step = event_step(payload);
    if (!step || get_raw<uint32_t>(bytes, kFrameHead + length) != masked_crc(payload)) {
      break;
    }
    records.push_back({bytes.first(kFrameHead + length + kFrameTail), *step});
    bytes = bytes.subspan(kFrameHead + length + kFrameTail);
  }
  return records;
}

void cut_events(const fs::path& path, int64_t last_step) {
  const std::string before = read_file(path);
  std::string kept;
  for (const EventRecord& record : split_events(std::as_bytes(std::span(before)))) {
    if (record.step <= last_step) {
      kept.append(reinterpret_cast<const char*>(record.frame.data()), record.frame.size());
    }
  }
  if (kept != before) {
    write_file_atomic(path, kept);
  }
}

}  // namespace setun::formats
