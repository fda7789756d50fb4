// Which of several builds of a kernel runs.
#pragma once

#include <ATen/Version.h>

#include <string>

enum class Capability { kAny, kAvx2, kAvx512 };

// What libtorch chooses for its own kernels, ATEN_CPU_CAPABILITY included: with AVX2 and AVX-512 a
// multiplication and an addition are one instruction and one rounding, there as here.
inline Capability capability() {
  static const Capability found = [] {
    const std::string name = at::get_cpu_capability();
    return name == "AVX512" ? Capability::kAvx512 : name == "AVX2" ? Capability::kAvx2 : Capability::kAny;
  }();
  return found;
}
