// What a launcher's interface needs: streams, errors, the bf16 type. Host code of any compiler
// reads it: with SETUN_EMU on the emulator, else with the CUDA runtime's C header.
#pragma once

#include <cstddef>
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

// Null is aligned to anything.
inline bool aligned(const void* p, size_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

}  // namespace setun::cuda
