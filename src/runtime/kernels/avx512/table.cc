#include "runtime/kernels/avx512/formats.h"
#include "runtime/kernels/avx512/simd.h"
#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/table_inl.h"
#include "runtime/kernels/tables.h"

namespace {

int64_t Int8Peak(int64_t rounds) noexcept {
  const __m512i ones = _mm512_set1_epi8(1);
  const auto step = [](__m512i& sum, __m512i factor) {
    sum = _mm512_dpbusd_epi32(sum, factor, factor);
  };
  return 64 * RunPeak(rounds, ones, ones, step);
}

hearth::KernelTable MakeTable() {
  using namespace hearth::avx512;
  hearth::KernelTable table{};
  table.name = "avx512";
  FillFloatKernels(table);
  // Two panels use 384 bytes in 70 cycles or more: the L3 cache, and nearly memory, gives those.
  table.tile_group_bytes = size_t{8} << 20;
  // Unpacking is a third of a product of 16 columns; from 64 to 128 on it no longer matters.
  table.most_few_columns = 64;
  for (int i = 0; i < hearth::kNumStripFormats; ++i)
    table.matmul[i] = KernelsOf(static_cast<hearth::StripFormat>(i)).matmul;
  table.int8_peak = Int8Peak;
  return table;
}

}  // namespace

namespace hearth::avx512 {
const FormatKernels& KernelsOf(StripFormat format) {
  static const FormatKernels* const kInOrder[kNumStripFormats] = {
      &kQ4_0Kernels, &kQ4_1Kernels, &kQ5_0Kernels, &kQ5_1Kernels, &kQ8_0Kernels, &kIq4NlKernels,
      &kQ2_KKernels, &kQ3_KKernels, &kQ4_KKernels, &kQ5_KKernels, &kQ6_KKernels};
  return *kInOrder[static_cast<int>(format)];
}
}  // namespace hearth::avx512

namespace hearth {
const KernelTable& Avx512Kernels() {
  static const KernelTable table = MakeTable();
  return table;
}
}  // namespace hearth
