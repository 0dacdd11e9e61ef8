#include "runtime/kernels/neon/simd.h"

#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/neon/formats.h"
#include "runtime/kernels/tables.h"

namespace {

// Twelve sums hide the latency of sdot (3 to 4 cycles, up to 4 a cycle on large cores).
int64_t Int8Peak(int64_t rounds) noexcept {
  constexpr int kSums = 12;
  int8x16_t ones = vdupq_n_s8(1);
  // Twelve names and not an array, which would live in memory.
  int32x4_t a = vdupq_n_s32(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a,
            k = a, l = a;
  const auto step = [&](int32x4_t& sum) { sum = vdotq_s32(sum, ones, ones); };
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
                 : "+w"(a), "+w"(b), "+w"(c), "+w"(d), "+w"(e), "+w"(f), "+w"(g), "+w"(h), "+w"(i),
                   "+w"(j), "+w"(k), "+w"(l), "+w"(ones));
  }
  return rounds * kSums * 16;
}

// The formats without a file here are those that small devices rarely load; the scalar functions
// serve them.
hearth::KernelTable MakeTable() {
  using namespace hearth::neon;
  hearth::KernelTable table{};
  table.name = "neon";
  FillFloatKernels(table);
  for (int i = 0; i < hearth::kNumStripFormats; ++i)
    table.matmul[i] = hearth::ScalarKernels().matmul[i];
  const auto set = [&](hearth::StripFormat format, const hearth::MatmulKernels& kernels) {
    table.matmul[static_cast<int>(format)] = kernels;
  };
  set(hearth::StripFormat::kQ4_0, kQ4_0Kernels);
  set(hearth::StripFormat::kQ4_1, kQ4_1Kernels);
  set(hearth::StripFormat::kQ5_0, kQ5_0Kernels);
  set(hearth::StripFormat::kQ8_0, kQ8_0Kernels);
  set(hearth::StripFormat::kQ4_K, kQ4_KKernels);
  set(hearth::StripFormat::kQ6_K, kQ6_KKernels);
  table.int8_peak = Int8Peak;
  return table;
}

}  // namespace

namespace hearth {
const KernelTable& NeonKernels() {
  static const KernelTable table = MakeTable();
  return table;
}
}  // namespace hearth
