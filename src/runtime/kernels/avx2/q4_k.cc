#include "runtime/kernels/avx2/q4_k_inl.h"

#include "runtime/kernels/avx2/dot_inl.h"
#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/matmul_inl.h"

namespace hearth::avx2 {
const MatmulKernels kQ4_KKernels = MakeKernels<Q4_K>();
}
