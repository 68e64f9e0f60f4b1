// What a launcher's interface needs: streams, errors, the bf16 type. Host code of any compiler
// reads it: with SETUN_EMU on the emulator, else with the CUDA runtime's C header.
#pragma once

#include <cstdint>
#if defined(SETUN_EMU)
#include "cuemu/host.h"
#else
#include <cuda_runtime_api.h>
#endif

namespace setun::cuda {

// bf16 by its bits, the same type on every route.
struct bf16 {
  uint16_t bits;
};

}  // namespace setun::cuda
