#include "runtime/kernels/avx512/formats.h"
#include "runtime/kernels/avx512/simd.h"
#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/tables.h"

namespace {

// Twelve sums hide the latency of vpdpbusd (5 cycles, up to 2 a cycle).
int64_t Int8Peak(int64_t rounds) noexcept {
  constexpr int kSums = 12;
  __m512i ones = _mm512_set1_epi8(1);
  // Twelve names and not an array, which would live in memory.
  __m512i a = ones, b = ones, c = ones, d = ones, e = ones, f = ones, g = ones, h = ones, i = ones,
          j = ones, k = ones, l = ones;
  const auto step = [&](__m512i& sum) { sum = _mm512_dpbusd_epi32(sum, ones, ones); };
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
                 : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i),
                   "+v"(j), "+v"(k), "+v"(l), "+v"(ones));
  }
  return rounds * kSums * 64;
}

hearth::KernelTable MakeTable() {
  using namespace hearth::avx512;
  hearth::KernelTable table{};
  table.name = "avx512";
  FillFloatKernels(table);
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
