#include "runtime/kernels/avx2/q3_k_inl.h"

#include "runtime/kernels/avx2/dot_inl.h"
#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/matmul_inl.h"

namespace hearth::avx2 {
const MatmulKernels kQ3_KKernels = MakeKernels<Q3_K>();
}
