#include "ops/devices.h"

#if defined(SETUN_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace setun::ops {

CudaDevices cuda_devices() {
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

}  // namespace setun::ops
