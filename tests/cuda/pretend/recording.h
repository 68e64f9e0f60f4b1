// Graphs of a pretended device (ops/device_graph.h). While one is recorded its operators run on the
// spot, so that host code meets true shapes, and are noted with the addresses they read and wrote;
// then all memory is put back (Arena::end_recording), as if nothing had run, and a replay does the
// noted work again. What CUDA refuses on a recording stream is refused: reads by the host, copies
// from it, work on another stream.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

#include "ops/device_graph.h"

namespace setun::test {

bool recording();
// To be done again by each replay.
void note(std::function<void()> work);
// A tensor with the same place in memory that does not keep the memory.
at::Tensor address_of(const at::Tensor& tensor);

std::unique_ptr<ops::DeviceGraph> make_recording();
std::size_t replays();  // of all graphs so far

// Where the last kernel went.
struct LaunchPlace {
  c10::DeviceIndex device;
  c10::StreamId stream;
};
LaunchPlace last_launch();
void listen_to_launches();

}  // namespace setun::test
