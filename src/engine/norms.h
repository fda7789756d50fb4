// See norms.cpp.
#pragma once

#include <torch/script.h>

// Puts `torchfront::norm` in the place of every batch norm that follows a convolution in the graph of a
// frozen module on the CPU.
void fuse_norms(torch::jit::Module& frozen);
