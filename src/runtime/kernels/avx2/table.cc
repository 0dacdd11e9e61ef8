#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/simd.h"
#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/table_inl.h"
#include "runtime/kernels/tables.h"

namespace {

// A dot product is vpmaddubsw, vpmaddwd and vpaddd here; the first is what a long sum needs most.
int64_t Int8Peak(int64_t rounds) noexcept {
  const __m256i ones = _mm256_set1_epi8(1);
  const auto step = [](__m256i& sum, __m256i factor) {
    sum = _mm256_add_epi16(
        sum,
        _mm256_maddubs_epi16(sum, factor));  // of its own sum: else one product would do for all
  };
  return 32 * RunPeak(rounds, ones, ones, step);
}

hearth::KernelTable MakeTable() {
  using namespace hearth::avx2;
  hearth::KernelTable table{};
  table.name = "avx2";
  FillFloatKernels(table);
  FillMatmul(table,
             {kQ4_0Kernels, kQ4_1Kernels, kQ5_0Kernels, kQ5_1Kernels, kQ8_0Kernels, kIq4NlKernels,
              kQ2_KKernels, kQ3_KKernels, kQ4_KKernels, kQ5_KKernels, kQ6_KKernels});
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
