// `setun bench kernels`: the operators of the integer path beside LibTorch's products of the same
// shape, memory copies and the measured read bandwidth, alternating in one process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace setun::bench {

struct KernelBenchOptions {
  int64_t threads = 0;                                  // 0: every core
  int64_t repetitions = 11;                             // alternating runs of every arm
  std::vector<std::string> shapes = {"512x2048x2048"};  // MxKxN of the products
  std::string path;                                     // a CpuPath's name; empty: the best
  // product, decode, head, activations, weights, attention or hadamard; empty: all
  std::string only;
  std::string json;  // a file to write the results to as well
};

// Prints the tables to standard output. Throws Error for a shape or path it cannot read.
void bench_kernels(const KernelBenchOptions& options);

}  // namespace setun::bench
