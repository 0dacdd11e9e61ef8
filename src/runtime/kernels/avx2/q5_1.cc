#include "runtime/kernels/avx2/q5_1_inl.h"

#include "runtime/kernels/avx2/dot_inl.h"
#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/matmul_inl.h"

namespace hearth::avx2 {
const MatmulKernels kQ5_1Kernels = MakeKernels<Q5_1>();
}
