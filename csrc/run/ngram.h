// The n-gram baseline on prepared data: what a model's validation loss is compared with.
#pragma once

#include "data/loader.h"

namespace setun::run {

// Mean nats per token of a Kneser-Ney model of `order` on the validation split, counted on the
// training split.
double ngram_loss_of(const PreparedData& data, int64_t order);

}  // namespace setun::run
