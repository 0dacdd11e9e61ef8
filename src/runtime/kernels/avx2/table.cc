#include "runtime/kernels/avx2/simd.h"
#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/tables.h"

namespace {

hearth::KernelTable MakeTable() {
  hearth::KernelTable table{};
  table.name = "avx2";
  FillFloatKernels(table);
  for (int i = 0; i < hearth::kNumStripFormats; ++i) table.matmul[i] = hearth::ScalarKernels().matmul[i];
  return table;
}

}  // namespace

namespace hearth {
const KernelTable& Avx2Kernels() {
  static const KernelTable table = MakeTable();
  return table;
}
}  // namespace hearth
