// The table of CPUs with AVX-VNNI and without AVX-512: avx2's, with integer products by vpdpbusd.
// Its formats are avx2's, compiled once more behind another dot_inl.h.

#include "runtime/kernels/avx_vnni/dot_inl.h"

#include "runtime/kernels/avx2/iq4_nl_inl.h"
#include "runtime/kernels/avx2/matmul_inl.h"
#include "runtime/kernels/avx2/q2_k_inl.h"
#include "runtime/kernels/avx2/q3_k_inl.h"
#include "runtime/kernels/avx2/q4_0_inl.h"
#include "runtime/kernels/avx2/q4_1_inl.h"
#include "runtime/kernels/avx2/q4_k_inl.h"
#include "runtime/kernels/avx2/q5_0_inl.h"
#include "runtime/kernels/avx2/q5_1_inl.h"
#include "runtime/kernels/avx2/q5_k_inl.h"
#include "runtime/kernels/avx2/q6_k_inl.h"
#include "runtime/kernels/avx2/q8_0_inl.h"
#include "runtime/kernels/table_inl.h"
#include "runtime/kernels/tables.h"

namespace {

int64_t Int8Peak(int64_t rounds) noexcept {
  const __m256i ones = _mm256_set1_epi8(1);
  const auto step = [](__m256i& sum, __m256i factor) {
    sum = _mm256_dpbusd_avx_epi32(sum, factor, factor);
  };
  return 32 * RunPeak(rounds, ones, ones, step);
}

hearth::KernelTable MakeTable() {
  hearth::KernelTable table = hearth::Avx2Kernels();
  table.name = "avx_vnni";
  FillMatmul(table,
             {MakeKernels<Q4_0>(), MakeKernels<Q4_1>(), MakeKernels<Q5_0>(), MakeKernels<Q5_1>(),
              MakeKernels<Q8_0>(), MakeKernels<Iq4Nl>(), MakeKernels<Q2_K>(), MakeKernels<Q3_K>(),
              MakeKernels<Q4_K>(), MakeKernels<Q5_K>(), MakeKernels<Q6_K>()});
  table.int8_peak = Int8Peak;
  return table;
}

}  // namespace

namespace hearth {
const KernelTable& AvxVnniKernels() {
  static const KernelTable table = MakeTable();
  return table;
}
}  // namespace hearth
