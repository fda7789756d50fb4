// See pools.cpp.
#pragma once

#include <torch/script.h>

// Puts `torchfront::max_pool2d` in the place of every max pooling over two dimensions in the graph of a
// frozen module.
void replace_pools(torch::jit::Module& frozen);
