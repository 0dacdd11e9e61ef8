#include "runtime/kernels/neon/simd.h"

#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/neon/formats.h"
#include "runtime/kernels/tables.h"

namespace {

int64_t Int8Peak(int64_t rounds) noexcept {
  constexpr int kSums = 16;
  int32x4_t sums[kSums];
  for (int32x4_t& sum : sums) sum = vdupq_n_s32(0);
  int8x16_t ones = vdupq_n_s8(1);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      asm volatile("" : "+w"(ones));
      sums[i] = vdotq_s32(sums[i], ones, ones);
      asm volatile("" : "+w"(sums[i]));
    }
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
