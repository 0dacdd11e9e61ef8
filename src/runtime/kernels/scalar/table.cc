// The reference kernels: written to be read, used on CPUs nothing else fits and by every test as
// the truth.

#include <cmath>

#include "runtime/kernels/scalar/simd.h"

#include "runtime/kernels/float_kernels_inl.h"
#include "runtime/kernels/many_tiles_inl.h"
#include "runtime/kernels/strip_format.h"
#include "runtime/kernels/tables.h"

namespace {

using hearth::FormatTraits;
using hearth::kNumStripFormats;
using hearth::kStripRows;
using hearth::PanelBlock;
using hearth::StripFormat;

// Sum over 16 inputs of (code - offset) * q.
int32_t HalfSum(const PanelBlock& weights, int half, int row, const ActBlock& x, int offset) {
  int32_t sum = 0;
  for (int k = half * 16; k < half * 16 + 16; ++k) {
    sum += (static_cast<int32_t>(weights.codes[k / 4][row * 4 + k % 4]) - offset) * x.q[k];
  }
  return sum;
}

float Accumulate(const FormatTraits& traits, const PanelBlock& weights, int row, const ActBlock& x,
                 float acc) {
  const int offset = traits.offset_log2 < 0 ? 0 : 1 << traits.offset_log2;
  const int32_t isum0 = HalfSum(weights, 0, row, x, offset);
  const int32_t isum1 = HalfSum(weights, 1, row, x, offset);
  if (!traits.scale_per_16) {
    acc = std::fma(weights.scale[0][row] * static_cast<float>(isum0 + isum1), x.d, acc);
    return traits.has_min ? std::fma(weights.min[0][row], x.s, acc) : acc;
  }
  const float t = std::fma(weights.scale[1][row], static_cast<float>(isum1),
                           weights.scale[0][row] * static_cast<float>(isum0));
  acc = std::fma(t, x.d, acc);
  if (!traits.has_min) return acc;
  acc = std::fma(weights.min[0][row], x.s0, acc);
  return std::fma(weights.min[1][row], x.s1, acc);
}

template <StripFormat kFormat>
void ManyOfTile(const PanelBlock* panel, int num_blocks, const ActBlock* tile, int num_columns,
                float* out, size_t out_stride, Ahead&) {
  for (int column = 0; column < num_columns; ++column) {
    for (int row = 0; row < kStripRows; ++row) {
      float acc = 0;
      for (int block = 0; block < num_blocks; ++block) {
        acc = Accumulate(hearth::TraitsOf(kFormat), panel[block], row,
                         tile[block * num_columns + column], acc);
      }
      out[column * out_stride + row] = acc;
    }
  }
}

template <StripFormat kFormat>
void Unpack(const std::byte* strip, int num_blocks, PanelBlock* panel) noexcept {
  const auto num_columns = static_cast<size_t>(num_blocks) * 32;
  const hearth::TensorType type = hearth::TensorTypeOf(kFormat);
  hearth::UnpackStrip(type, {strip, hearth::StripBytes(type, num_columns)}, num_columns, panel);
}

// Group by group, so that no memory is needed.
template <StripFormat kFormat>
void Few(const std::byte* strip, int num_blocks, const ActBlock* tile, int num_columns, float* out,
         size_t out_stride) noexcept {
  constexpr hearth::TensorType kType = hearth::TensorTypeOf(kFormat);
  const size_t group_columns = hearth::InfoOf(kType).block_size;
  const int group_blocks = static_cast<int>(group_columns / 32);
  const size_t group_bytes = hearth::StripBytes(kType, group_columns);
  for (int column = 0; column < num_columns; ++column) {
    for (int row = 0; row < kStripRows; ++row) out[column * out_stride + row] = 0;
  }
  for (int block = 0; block < num_blocks; block += group_blocks) {
    PanelBlock panel[8];
    hearth::UnpackStrip(kType, {strip + block / group_blocks * group_bytes, group_bytes},
                        group_columns, panel);
    for (int b = 0; b < group_blocks; ++b) {
      for (int column = 0; column < num_columns; ++column) {
        for (int row = 0; row < kStripRows; ++row) {
          float& acc = out[column * out_stride + row];
          acc = Accumulate(hearth::TraitsOf(kFormat), panel[b], row,
                           tile[(block + b) * num_columns + column], acc);
        }
      }
    }
  }
}

template <int kIndex>
void FillMatmul(hearth::KernelTable& table) {
  if constexpr (kIndex < kNumStripFormats) {
    constexpr auto kFormat = static_cast<StripFormat>(kIndex);
    table.matmul[kIndex] = {Few<kFormat>, Unpack<kFormat>, Many<ManyOfTile<kFormat>>};
    FillMatmul<kIndex + 1>(table);
  }
}

int64_t Int8Peak(int64_t rounds) noexcept {
  int32_t sums[8] = {};
  volatile int8_t source = 3;
  const int8_t factor = source;
  for (int64_t round = 0; round < rounds; ++round) {
    for (int32_t& sum : sums) {
      sum += factor * factor;
      asm volatile("" : "+r"(sum));
    }
  }
  return rounds * 8;
}

hearth::KernelTable MakeTable() {
  hearth::KernelTable table{};
  table.name = "scalar";
  FillFloatKernels(table);
  FillMatmul<0>(table);
  table.int8_peak = Int8Peak;
  return table;
}

}  // namespace

namespace hearth {
const KernelTable& ScalarKernels() {
  static const KernelTable table = MakeTable();
  return table;
}
}  // namespace hearth
