// Rows of fp32 or bf16 elements for kernels that compute in fp32: widened as they are read and
// rounded half to even as they are written, so that no converted copy of a tensor is made.
// Torch-free. Deliberately absent: fp16, fp64 and strides inside a row.
#pragma once

#include <cstdint>

namespace setun::ops::cpu {

enum class Element : uint8_t { kFp32, kBf16 };

struct InRow {
  const void* data;
  Element type;
};

struct OutRow {
  void* data;
  Element type;
};

}  // namespace setun::ops::cpu
