// What `config check` says of a recipe's mixtures of experts. Torch-free.
#pragma once

#include <string>

#include "model/model_options.h"

namespace setun::run {

// Lines "mixture ..." and, with heads, "parity ..."; "" for a dense model.
std::string mixture_text(const ModelOptions& model);

}  // namespace setun::run
