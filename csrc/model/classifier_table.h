// A classifier's linear layers and sizes from its options: what layer_table.h is for decoders.
// Torch-free.
#pragma once

#include "model/layer_table.h"

namespace setun {

// hidden.0 ..., then classifier. Blocks count the layers, so a plan's default reaches them all. A
// bag_of_words' first width is its embedding's, which is no linear layer. Widths that only the data
// tells are 0.
std::vector<LayerInfo> classifier_table(const ModelOptions& options);

// options.classifier.features and .classes, or vocab_size, must be resolved for true sizes.
SizeEstimate classifier_size(const ModelOptions& options, const QuantPlan& plan, int64_t batch,
                             Products products);

}  // namespace setun
