// The lean part of LibTorch's module API (torch/torch.h costs 12 seconds a file).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>
