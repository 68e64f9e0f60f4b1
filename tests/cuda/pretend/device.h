// A device that is not there: LibTorch's PrivateUse1 backend over an arena of host memory that is
// locked (PROT_NONE) except while a copy, one of LibTorch's operators or a kernel on the emulator
// runs "on the device". Host code that reads or writes a tensor of this device therefore faults,
// and operators refuse tensors of two devices, as on CUDA. Setun's own operators are the glue of
// csrc/ops/cuda with its kernels on fibers; LibTorch's, and attention, compute on copies on the
// CPU. No streams: a copy has happened when it returns.
#pragma once

#include <cstddef>

namespace setun::test {

// Registers the device; once is enough.
void pretend_device();

// Copies that moved bytes between host and device since the start: what a step waits for on CUDA.
struct Transfers {
  std::size_t to_device = 0, to_host = 0;
};
Transfers transfers();

}  // namespace setun::test
