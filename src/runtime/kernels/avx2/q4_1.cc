#include "runtime/kernels/avx2/q4_1_inl.h"

#include "runtime/kernels/avx2/dot_inl.h"
#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/matmul_inl.h"

namespace hearth::avx2 {
const MatmulKernels kQ4_1Kernels = MakeKernels<Q4_1>();
}
