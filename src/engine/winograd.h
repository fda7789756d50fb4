// Convolutions of 3 x 3 by Winograd's algorithm, with what follows them.
#pragma once

#include <torch/script.h>

// Puts `torchfront::winograd` in the place of the convolutions of `frozen` that are suited, and of the
// norms (norms.h) and activations behind them. How many there were.
int fuse_winograd(torch::jit::Module& frozen);
