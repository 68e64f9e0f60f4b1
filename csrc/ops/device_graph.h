// Recorded work of a device (CUDA graphs): what a piece of host code starts is noted instead of run
// and is then started again and again with one call, on the addresses of the recording. Host code
// in between is not repeated, so nothing recorded may read from the device or depend on a number
// that changes. Deliberately absent: branches inside a graph, and updates of a recorded one.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/StreamGuard.h>

#include <functional>
#include <memory>

namespace setun::ops {

class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  // Between begin and end nothing runs that this thread, or backward for it, starts on the current
  // stream. Memory that is allocated meanwhile belongs to the graph as long as it lives.
  virtual void begin() = 0;
  virtual void end() = 0;
  virtual void replay() = 0;  // on the current stream, without waiting
};

using GraphMaker = std::unique_ptr<DeviceGraph> (*)();
// For the device that stands in for CUDA (devices.h).
void set_graph_stand_in(GraphMaker maker);

// The graph of what `work` starts on the device, which is CUDA or stands for it. An exception of
// `work`, or of LibTorch at whatever cannot be recorded, ends the recording and passes through.
std::unique_ptr<DeviceGraph> record(at::Device device, const std::function<void()>& work);

// While it lives, the calling thread's current stream of a device is one that can be recorded (the
// default one cannot), begun and left with nothing under way.
class RecordableStream {
 public:
  explicit RecordableStream(at::Device device);
  ~RecordableStream();
  RecordableStream(const RecordableStream&) = delete;
  RecordableStream& operator=(const RecordableStream&) = delete;

 private:
  c10::StreamGuard guard_;
};

}  // namespace setun::ops
