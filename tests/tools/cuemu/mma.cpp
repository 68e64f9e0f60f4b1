// The integer tensor products, from the fragment tables of the PTX ISA (mma.m16n8k32 and
// mma.m16n8k64, "Matrix fragments"). g = lane / 4, t = lane % 4. ptxi has its own, written in
// another form.
#include "runtime.h"

namespace cuemu {
namespace {

// Element i of a register: byte i of 4, or nibble i of 8.
template <int kBits>
int element(uint32_t word, int i) {
  return static_cast<int32_t>(word << (32 - kBits * (i + 1))) >> (32 - kBits);
}

template <int kBits>
void combine(Meeting* meeting) {
  constexpr int kPer = 32 / kBits, kK = 8 * kPer;  // elements a register; depth of the product
  int a[16][kK], b[8][kK];
  for (int lane = 0; lane < 32; ++lane) {
    const uint32_t* in = meeting->in[lane];
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < kPer; ++i) {
      for (int half = 0; half < 2; ++half) {
        const int k = t * kPer + i + half * kK / 2;
        a[g][k] = element<kBits>(in[2 * half], i);
        a[g + 8][k] = element<kBits>(in[2 * half + 1], i);
        b[g][k] = element<kBits>(in[4 + half], i);
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int m = lane / 4 + (i >= 2 ? 8 : 0), n = lane % 4 * 2 + i % 2;
      int sum = 0;
      for (int k = 0; k < kK; ++k) {
        sum += a[m][k] * b[n][k];
      }
      meeting->out[lane][i] = meeting->in[lane][6 + i] + static_cast<uint32_t>(sum);
    }
  }
}

}  // namespace

void combine_mma_s8(Meeting* meeting) { combine<8>(meeting); }

void combine_mma_s4(Meeting* meeting) { combine<4>(meeting); }

}  // namespace cuemu
