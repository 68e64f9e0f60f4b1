// How much of the tokens x vocabulary matrix is ever in memory: the loss goes through the head in
// chunks of rows of this size, and the memory estimate counts one.
#pragma once

#include <algorithm>
#include <cstdint>

namespace setun {

// Large enough that a chunk's products run at full speed and the head's gradient, which every chunk
// reads and writes, costs little beside them (256 rows of bf16 logits at a vocabulary of 32,000).
inline constexpr int64_t kHeadChunkBytes = int64_t{16} << 20;

// Rows of `vocab` logits of `element_bytes` in a chunk, at least one.
inline int64_t head_chunk_rows(int64_t vocab, int64_t element_bytes) {
  return std::max<int64_t>(1, kHeadChunkBytes / std::max<int64_t>(1, vocab * element_bytes));
}

}  // namespace setun
