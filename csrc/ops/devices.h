// Which devices the operators of this build can run on.
#pragma once

#include <string>

namespace setun::ops {

struct CudaDevices {
  bool built = false;  // this build has CUDA kernels
  int count = 0;
  std::string reason;  // the driver's, when count is 0
};
CudaDevices cuda_devices();

}  // namespace setun::ops
