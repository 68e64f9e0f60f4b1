#include "ops/devices.h"

#if defined(SETUN_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace setun::ops {
namespace {

std::optional<at::DeviceType>& stand_in() {
  static std::optional<at::DeviceType> type;
  return type;
}

}  // namespace

CudaDevices cuda_devices() {
  if (stand_in()) {
    return {.built = true, .count = 1, .reason = {}};
  }
#if defined(SETUN_CUDA)
  CudaDevices devices{.built = true, .count = 0, .reason = {}};
  const cudaError_t error = cudaGetDeviceCount(&devices.count);
  if (error != cudaSuccess) {
    devices.count = 0;
    devices.reason = cudaGetErrorString(error);
  }
  return devices;
#else
  return {};
#endif
}

at::Device cuda_device() { return {stand_in().value_or(at::kCUDA), 0}; }

void set_cuda_stand_in(std::optional<at::DeviceType> type) { stand_in() = type; }

bool stands_for_cuda(at::Device device) { return stand_in() && device.type() == *stand_in(); }

at::Tensor to_device(const at::Tensor& tensor, at::Device device, const at::Tensor& kept) {
  if (!tensor.defined() || tensor.device() == device) {
    return tensor;
  }
  const at::Tensor host = device.is_cuda() ? tensor.pin_memory() : tensor;
  const bool fits = kept.defined() && kept.device() == device &&
                    kept.scalar_type() == host.scalar_type() && kept.sizes() == host.sizes();
  if (fits) {
    return at::Tensor(kept).copy_(host, /*non_blocking=*/true);
  }
  return host.to(device, /*non_blocking=*/device.is_cuda());
}

}  // namespace setun::ops
