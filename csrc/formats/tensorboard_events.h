// TensorBoard event files: TFRecord frames (u64 length, masked CRC-32C of it, payload, masked
// CRC-32C of it) of Event protobufs with scalar summaries, encoded by hand
// (tensorflow/core/util/event.proto, summary.proto). Torch-free. Scalars only: no histograms,
// images or graphs. cut_events drops what a resumed run will do again.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/output_file.h"

namespace setun::formats {

class EventWriter {
 public:
  // Appends to `path`; a file that is absent or empty first gets the version record.
  explicit EventWriter(const fs::path& path);
  void scalar(const std::string& tag, double value, int64_t step, double wall_time);
  void flush() {
    file_.flush();
  }  // to the operating system; a full disk is warned of and tried again

 private:
  LogFile file_;
};

struct EventRecord {
  std::span<const std::byte> frame;  // length, checksums and payload
  int64_t step = 0;
};
// The whole records at the front of `bytes`; ends before the first torn or corrupt one.
std::vector<EventRecord> split_events(std::span<const std::byte> bytes);

// Rewrites the file atomically with the records whose step is <= last_step; a torn or corrupt
// record ends the file.
void cut_events(const fs::path& path, int64_t last_step);

}  // namespace setun::formats
