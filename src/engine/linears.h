// See linears.cpp.
#pragma once

#include <torch/script.h>

// Puts `torchfront::linear` in the place of every fully connected layer, with the activation that
// follows it, in the graph of a frozen module on the CPU.
void fuse_linears(torch::jit::Module& frozen);
