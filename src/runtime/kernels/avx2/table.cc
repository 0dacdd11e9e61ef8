#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/simd.h"
#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/tables.h"

namespace {

// A dot product is vpmaddubsw, vpmaddwd and vpaddd here; the first is what a long sum needs most.
int64_t Int8Peak(int64_t rounds) noexcept {
  constexpr int kSums = 12;
  __m256i sums[kSums];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  __m256i ones = _mm256_set1_epi8(1);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) {
      asm volatile("" : "+x"(ones));
      sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(ones, ones));
      asm volatile("" : "+x"(sums[i]));
    }
  }
  return rounds * kSums * 32;
}

hearth::KernelTable MakeTable() {
  using namespace hearth::avx2;
  hearth::KernelTable table{};
  table.name = "avx2";
  FillFloatKernels(table);
  const hearth::MatmulKernels in_order[hearth::kNumStripFormats] = {
      kQ4_0Kernels, kQ4_1Kernels, kQ5_0Kernels, kQ5_1Kernels, kQ8_0Kernels, kIq4NlKernels,
      kQ2_KKernels, kQ3_KKernels, kQ4_KKernels, kQ5_KKernels, kQ6_KKernels};
  for (int i = 0; i < hearth::kNumStripFormats; ++i) table.matmul[i] = in_order[i];
  table.int8_peak = Int8Peak;
  return table;
}

}  // namespace

namespace hearth {
const KernelTable& Avx2Kernels() {
  static const KernelTable table = MakeTable();
  return table;
}
}  // namespace hearth
