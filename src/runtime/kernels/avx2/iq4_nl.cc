#include "runtime/kernels/avx2/iq4_nl_inl.h"

#include "runtime/kernels/avx2/dot_inl.h"
#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/matmul_inl.h"

namespace hearth::avx2 {
const MatmulKernels kIq4NlKernels = MakeKernels<Iq4Nl>();
}
