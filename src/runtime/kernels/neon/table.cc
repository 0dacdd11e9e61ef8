#include "runtime/kernels/neon/simd.h"

#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/neon/formats.h"
#include "runtime/kernels/table_inl.h"
#include "runtime/kernels/tables.h"

namespace {

int64_t Int8Peak(int64_t rounds) noexcept {
  const auto step = [](int32x4_t& sum, int8x16_t factor) { sum = vdotq_s32(sum, factor, factor); };
  return 16 * RunPeak(rounds, vdupq_n_s32(0), vdupq_n_s8(1), step);
}

hearth::KernelTable MakeTable() {
  using namespace hearth::neon;
  hearth::KernelTable table{};
  table.name = "neon";
  FillFloatKernels(table);
  table.most_few_columns = hearth::kFewColumns;
  FillMatmul(table,
             {kQ4_0Kernels, kQ4_1Kernels, kQ5_0Kernels, kQ5_1Kernels, kQ8_0Kernels, kIq4NlKernels,
              kQ2_KKernels, kQ3_KKernels, kQ4_KKernels, kQ5_KKernels, kQ6_KKernels});
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
