// What a test says to and learns from the emulated cuBLASLt.
#pragma once

namespace setun::cuda::testing {

struct EmulatedLibrary {
  static inline bool refuses = false;
  static inline int calls = 0;
};

}  // namespace setun::cuda::testing
