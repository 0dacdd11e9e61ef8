#pragma once
// What the files of this folder hand to table.cc: one set of integer kernels per format.

#include "runtime/kernels/kernels.h"

namespace hearth::neon {

extern const MatmulKernels kQ4_0Kernels, kQ4_1Kernels, kQ5_0Kernels, kQ5_1Kernels, kQ8_0Kernels,
    kIq4NlKernels, kQ2_KKernels, kQ3_KKernels, kQ4_KKernels, kQ5_KKernels, kQ6_KKernels;

}  // namespace hearth::neon
