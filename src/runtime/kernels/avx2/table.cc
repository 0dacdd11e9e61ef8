#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/avx2/simd.h"
#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/tables.h"

namespace {

hearth::KernelTable MakeTable() {
  using namespace hearth::avx2;
  hearth::KernelTable table{};
  table.name = "avx2";
  FillFloatKernels(table);
  const hearth::MatmulKernels in_order[hearth::kNumStripFormats] = {
      kQ4_0Kernels, kQ4_1Kernels, kQ5_0Kernels, kQ5_1Kernels, kQ8_0Kernels, kIq4NlKernels,
      kQ2_KKernels, kQ3_KKernels, kQ4_KKernels, kQ5_KKernels, kQ6_KKernels};
  for (int i = 0; i < hearth::kNumStripFormats; ++i) table.matmul[i] = in_order[i];
  return table;
}

}  // namespace

namespace hearth {
const KernelTable& Avx2Kernels() {
  static const KernelTable table = MakeTable();
  return table;
}
}  // namespace hearth
