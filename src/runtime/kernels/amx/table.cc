#include "runtime/kernels/amx/matmul.h"
#include "runtime/kernels/avx512/formats.h"
#include "runtime/kernels/tables.h"

namespace {

hearth::KernelTable MakeTable() {
  hearth::KernelTable table = hearth::Avx512Kernels();
  table.name = "amx";
  table.tile_columns = hearth::amx::kTileColumns;
  table.most_few_columns = 24;               // two tiles of 16 are faster from 32 on
  table.tile_group_bytes = size_t{1} << 20;  // of the L2 cache: a tile is used in 20 ns
  for (int i = 0; i < hearth::kNumStripFormats; ++i) {
    const auto format = static_cast<hearth::StripFormat>(i);
    table.matmul[i].unpack = hearth::avx512::KernelsOf(format).unpack_signed;
  }
  hearth::amx::SetMany(table);
  return table;
}

}  // namespace

namespace hearth {
const KernelTable& AmxKernels() {
  static const KernelTable table = MakeTable();
  return table;
}
}  // namespace hearth
