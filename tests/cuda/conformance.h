// Kernels that show what one warp or block operation does; conformance_test.cpp holds the emulators
// to the CUDA guide and the PTX ISA by them.
#pragma once

#include "runtime.h"

namespace setun::cuda {

struct WarpParams {
  int* out;  // [32][16]
  int width, arg;
};
cudaError_t conform_warp(const WarpParams& p);

struct OutParams {
  int* out;
  int n;
};
cudaError_t conform_subsets(const OutParams& p);   // two disjoint masks in flight together
cudaError_t conform_exit(const OutParams& p);      // early exits, then a barrier of the rest
cudaError_t conform_syncwarp(const OutParams& p);  // an exchange through shared memory in a warp

struct LastBlockParams {
  const int* x;
  int n;
  int* partial;
  unsigned* ticket;
  int* out;
  int blocks;
};
cudaError_t conform_last_block(const LastBlockParams& p);  // a sum by the last block to finish

struct Dp4aParams {
  const int *a, *b;
  int n;
  int* out;
};
cudaError_t conform_dp4a(const Dp4aParams& p);

struct RoundParams {
  const float* x;
  int n;
  int* out;
};
cudaError_t conform_round(const RoundParams& p);  // __float2int_rn

struct MmaParams {
  const int8_t *a, *b;  // [16][k], [8][k]
  int* out;             // [16][8]
};
cudaError_t conform_mma_s8(const MmaParams& p);  // k = 32, A by cp.async and ldmatrix
cudaError_t conform_mma_s4(const MmaParams& p);  // k = 64

}  // namespace setun::cuda
