#include "runtime/kernels/avx2/q2_k_inl.h"

#include "runtime/kernels/avx2/dot_inl.h"
#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/matmul_inl.h"

namespace hearth::avx2 {
const MatmulKernels kQ2_KKernels = MakeKernels<Q2_K>();
}
