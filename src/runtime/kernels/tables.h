#pragma once
// The tables the ISA folders export, and how their files hand them over.

#include "runtime/kernels/kernels.h"

namespace hearth {

const KernelTable& ScalarKernels();
#if defined(__x86_64__)
const KernelTable& Avx2Kernels();
const KernelTable& AvxVnniKernels();
const KernelTable& Avx512Kernels();
const KernelTable& AmxKernels();
#elif defined(__aarch64__)
const KernelTable& NeonKernels();
#endif

}  // namespace hearth
