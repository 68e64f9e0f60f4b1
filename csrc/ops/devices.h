// Which devices the operators of this build can run on, and how a run's tensors get there.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

namespace setun::ops {

struct CudaDevices {
  bool built = false;  // this build has CUDA kernels
  int count = 0;
  std::string reason;  // the driver's, when count is 0
};
CudaDevices cuda_devices();

// The device of a run on CUDA: the current one (a process per GPU sets CUDA_VISIBLE_DEVICES).
at::Device cuda_device();

// Another backend takes CUDA's place from now on: tests move whole runs to one they pretend, since
// a tensor left behind on the host fails there as it would on CUDA. nullopt ends it.
void set_cuda_stand_in(std::optional<at::DeviceType> type);
bool stands_for_cuda(at::Device device);

// A host tensor's values on a device; the tensor itself when it is there already, or undefined. To
// CUDA through pinned memory and without waiting: the copy is on the current stream, and LibTorch's
// allocator keeps the pinned memory until it has run. `kept`, of an earlier call, is written and
// returned where it fits, so that what repeats has one address (a recorded step reads that).
at::Tensor to_device(const at::Tensor& tensor, at::Device device, const at::Tensor& kept = {});

}  // namespace setun::ops
