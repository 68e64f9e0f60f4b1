// What most tests include of Catch2 and LibTorch, precompiled once (scripts/cmake/Layer.cmake).
// Never included by hand.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <catch2/catch.hpp>
