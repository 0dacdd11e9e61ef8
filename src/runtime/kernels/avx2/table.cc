#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/simd.h"
#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/tables.h"

namespace {

// A dot product is vpmaddubsw, vpmaddwd and vpaddd here; the first is what a long sum needs most.
int64_t Int8Peak(int64_t rounds) noexcept {
  constexpr int kSums = 12;
  __m256i ones = _mm256_set1_epi8(1);
  // Twelve names and not an array, which would live in memory.
  __m256i a = ones, b = ones, c = ones, d = ones, e = ones, f = ones, g = ones, h = ones, i = ones,
          j = ones, k = ones, l = ones;
  const auto step = [&](__m256i& sum) {
    sum = _mm256_add_epi16(
        sum, _mm256_maddubs_epi16(sum, ones));  // of its own sum: else one product would do for all
  };
  for (int64_t round = 0; round < rounds; ++round) {
    step(a);
    step(b);
    step(c);
    step(d);
    step(e);
    step(f);
    step(g);
    step(h);
    step(i);
    step(j);
    step(k);
    step(l);
    asm volatile(""
                 : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f), "+x"(g), "+x"(h), "+x"(i),
                   "+x"(j), "+x"(k), "+x"(l), "+x"(ones));
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
