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
void OnePanel(const hearth::PanelBlock* panel, int num_blocks, const hearth::ActBlock* tiles,
              int num_columns, float* out, size_t out_stride, Ahead& ahead) {
  for (int first = 0; first < num_columns; first += hearth::kTileColumns) {
    const int left = num_columns - first;
    const int columns = left < hearth::kTileColumns ? left : hearth::kTileColumns;
    float* to = out + first * out_stride;
    // Asked for before it is written: columns lie apart, in no cache near. Both ends, for they need
    // not be aligned.
    for (int c = 0; c < columns; ++c) {
      PrefetchToWrite(to + c * out_stride);
      PrefetchToWrite(to + c * out_stride + 15);
    }
    kProduct(panel, num_blocks, tiles + static_cast<size_t>(first) * num_blocks, columns, to,
             out_stride, ahead);
  }
}

template <TileProduct kProduct>
void Many(const hearth::PanelBlock* panels, int num_panels, int num_blocks,
          const hearth::ActBlock* tiles, int num_columns, float* out, size_t out_stride,
          hearth::Upcoming upcoming) noexcept {
  const int num_tiles = (num_columns + hearth::kTileColumns - 1) / hearth::kTileColumns;
  Ahead ahead(upcoming.bytes, upcoming.size, int64_t{num_panels} * num_blocks * num_tiles);
  for (int p = 0; p < num_panels; ++p) {
    OnePanel<kProduct>(panels + static_cast<size_t>(p) * num_blocks, num_blocks, tiles, num_columns,
                       out + p * hearth::kStripRows, out_stride, ahead);
  }
}

}  // namespace
