#pragma once
// The loop over tiles around a product of one strip with one tile of up to kTileColumns columns:
// MatmulKernels::many of every table that has no better order. Safe to include in ISA folders.

#include "runtime/kernels/kernels.h"
#include "runtime/kernels/prefetch_inl.h"

namespace {

using TileProduct = void (*)(const hearth::PanelBlock* panel, int num_blocks,
                             const hearth::ActBlock* tile, int num_columns, float* out,
                             size_t out_stride, Ahead& ahead);

template <TileProduct kProduct>
void Many(const hearth::PanelBlock* panel, int num_blocks, const hearth::ActBlock* tiles,
          int num_columns, float* out, size_t out_stride, hearth::Upcoming upcoming) noexcept {
  const int num_tiles = (num_columns + hearth::kTileColumns - 1) / hearth::kTileColumns;
  Ahead ahead(upcoming.bytes, upcoming.size, int64_t{num_blocks} * num_tiles);
  for (int first = 0; first < num_columns; first += hearth::kTileColumns) {
    const int left = num_columns - first;
    const int columns = left < hearth::kTileColumns ? left : hearth::kTileColumns;
    float* to = out + first * out_stride;
    // Asked for before it is written: columns lie apart, in no cache near. Both ends, for they need
    // not be aligned.
    for (int c = 0; c < columns; ++c) {
      __builtin_prefetch(to + c * out_stride, 1);
      __builtin_prefetch(to + c * out_stride + 15, 1);
    }
    kProduct(panel, num_blocks, tiles + static_cast<size_t>(first) * num_blocks, columns, to,
             out_stride, ahead);
  }
}

}  // namespace
