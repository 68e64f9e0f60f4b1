#include "ops/device_graph.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include "base/error.h"
#include "ops/devices.h"
#if defined(SETUN_CUDA)
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace setun::ops {
namespace {

GraphMaker& stand_in_maker() {
  static GraphMaker maker = nullptr;
  return maker;
}

#if defined(SETUN_CUDA)
class CudaGraph : public DeviceGraph {
 public:
  // Thread-local: what other threads do meanwhile (a communicator's watchdog asks for events) is no
  // error. Memory cached for eager steps goes back first, since the graph has a pool of its own.
  void begin() override {
    c10::cuda::CUDACachingAllocator::emptyCache();
    graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  }
  void end() override { graph_.capture_end(); }
  void replay() override { graph_.replay(); }

 private:
  at::cuda::CUDAGraph graph_;
};
#endif

std::unique_ptr<DeviceGraph> make_graph(at::Device device) {
  if (stands_for_cuda(device)) {
    SETUN_ASSERT(stand_in_maker() != nullptr, "the stand-in for CUDA records no graphs");
    return stand_in_maker()();
  }
#if defined(SETUN_CUDA)
  SETUN_ASSERT(device.is_cuda(), "graphs of ", device.str());
  return std::make_unique<CudaGraph>();
#else
  fail("graphs of ", device.str(), ": this build of Setun has no CUDA kernels");
#endif
}

c10::Stream recordable_stream(at::Device device) {
  const c10::impl::VirtualGuardImpl of(device.type());
  of.synchronizeDevice(device.index());
  return of.getStreamFromGlobalPool(device);
}

}  // namespace

void set_graph_stand_in(GraphMaker maker) { stand_in_maker() = maker; }

std::unique_ptr<DeviceGraph> record(at::Device device, const std::function<void()>& work) {
  std::unique_ptr<DeviceGraph> graph = make_graph(device);
  graph->begin();
  try {
    work();
  } catch (...) {
    try {
      graph->end();  // the stream takes work again; the recording's own complaint says no more
    } catch (const std::exception&) {
    }
    throw;
  }
  graph->end();
  return graph;
}

RecordableStream::RecordableStream(at::Device device) : guard_(recordable_stream(device)) {}

RecordableStream::~RecordableStream() {
  const c10::Device device = guard_.current_device();
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

}  // namespace setun::ops
