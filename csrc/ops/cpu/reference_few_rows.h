// Generation's operators in plain loops: the product in the fixed order that every path follows bit
// for bit, one token's attention in double precision. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

namespace setun::ops::reference {

struct FewRowsProduct {
  std::vector<float> x;  // [rows, columns]
  std::vector<float> w;  // [outputs, columns]
  int64_t rows = 0, outputs = 0, columns = 0;
  bool bf16_matrix = false;  // w lies in memory as bf16, whose values these are
};

// x w^T [rows, outputs]: 32 lanes, products rounded before they are added; column c of a bf16
// matrix goes to lane c / 2 (c even) or 16 + c / 2 (c odd) of its block of 32, of an fp32 matrix to
// lane c. Lanes are added 16 + 16, 8 + 8, 4 + 4, 2 + 2, 1 + 1.
std::vector<float> few_rows_linear(const FewRowsProduct& p);

// softmax(q K^T / sqrt(width)) V for one query q [width]; keys and values [count, width].
std::vector<double> attend(const std::vector<double>& q, const std::vector<double>& keys,
                           const std::vector<double>& values, int64_t count);

}  // namespace setun::ops::reference
