// Interpolated Kneser-Ney n-gram model: the loss a neural model must beat. Torch-free, exact counts in hash maps.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/token_shard.h"

namespace setun {

// Mean nats per token on `validation` of an order-`order` model counted on `train` (Kneser-Ney, absolute discount from
// counts of counts, Chen & Goodman 1998 eq. 26).
double ngram_loss(const formats::TokenShard& train, const formats::TokenShard& validation, int64_t order,
                  int64_t vocab_size);

}  // namespace setun
