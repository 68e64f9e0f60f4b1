// cuemu: CUDA kernel sources on a CPU, one fiber per CUDA thread. A C++ compiler reads the kernel
// with this header in the place of <cuda_runtime.h>; no CUDA toolkit and no library is needed.
// Deliberately not emulated: wgmma, TMA, mbarrier, clusters, textures, and memory ordering weaker
// than happens-before.
#pragma once

#include "device.h"
#include "host.h"
#include "runtime.h"
#include "types.h"
