#pragma once
// The loop over tiles around a product of one strip with one tile of up to kTileColumns columns:
// MatmulKernels::many of every table that has no better order. Safe to include in ISA folders.

#include "runtime/kernels/kernels.h"

namespace {

using TileProduct = void (*)(const hearth::PanelBlock* panel, int num_blocks,
                             const hearth::ActBlock* tile, int num_columns, float* out,
                             size_t out_stride);

template <TileProduct kProduct>
void Many(const hearth::PanelBlock* panel, int num_blocks, const hearth::ActBlock* tiles,
          int num_columns, float* out, size_t out_stride) noexcept {
  for (int first = 0; first < num_columns; first += hearth::kTileColumns) {
    const int left = num_columns - first;
    kProduct(panel, num_blocks, tiles + static_cast<size_t>(first) * num_blocks,
             left < hearth::kTileColumns ? left : hearth::kTileColumns, out + first * out_stride,
             out_stride);
  }
}

}  // namespace
