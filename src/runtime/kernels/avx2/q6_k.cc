#include "runtime/kernels/avx2/q6_k_inl.h"

#include "runtime/kernels/avx2/dot_inl.h"
#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/matmul_inl.h"

namespace hearth::avx2 {
const MatmulKernels kQ6_KKernels = MakeKernels<Q6_K>();
}
