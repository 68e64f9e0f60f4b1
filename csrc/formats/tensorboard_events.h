// TensorBoard event files: TFRecord frames (u64 length, masked CRC-32C, payload, masked CRC-32C) of Event protobufs with
// scalar summaries, encoded by hand. Torch-free. Writes scalars only. cut_events drops what a resumed run will redo.
#pragma once

#include <cstdio>
#include <string>

#include "base/files.h"

namespace setun::formats {

class EventWriter {
 public:
  // Appends to `path` (creates it with the version record when absent).
  explicit EventWriter(const fs::path& path);
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;
  void scalar(const std::string& tag, double value, int64_t step, double wall_time);
  void flush();

 private:
  std::FILE* file_ = nullptr;
};

// Rewrites the file atomically with the records whose step is <= last_step; a torn record at the end is dropped.
void cut_events(const fs::path& path, int64_t last_step);

}  // namespace setun::formats
