#pragma once
// What the files of this folder hand to table.cc: one set of integer kernels per format that has
// one here.

#include "runtime/kernels/kernels.h"

namespace hearth::neon {

extern const MatmulKernels kQ4_0Kernels, kQ4_1Kernels, kQ5_0Kernels, kQ8_0Kernels, kQ4_KKernels,
    kQ6_KKernels;

}  // namespace hearth::neon
