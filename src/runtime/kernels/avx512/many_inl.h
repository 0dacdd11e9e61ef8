#pragma once
// The product of many columns for AVX-512 VNNI, for matmul_inl.h.
//
// Broadcasting an activation is a load, and a core that starts two products a cycle loads no more
// than twice. So an activation that is loaded is multiplied with two panels: of six columns and two
// panels the sums and the accumulators fill 24 of the 32 registers, and 8 loads serve 12 products.
//
// Panels are taken in chunks that stay in the L1 cache while all columns pass by; between chunks
// the accumulators rest in a buffer of their own, for columns of `out` lie apart.

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/kernels/avx512/vnni_inl.h"
#include "runtime/kernels/prefetch_inl.h"
#include "runtime/kernels/strip_format.h"

namespace {

constexpr int kMaxChunkBlocks = 18;  // 27 KB of two panels
constexpr int kBatchTiles = 16;      // whose accumulators rest between chunks: 24 KB
constexpr int kRestStride = hearth::kStripRows * hearth::kMaxPanels;

// Some columns of a tile, and where their accumulators come from and go to, [column][stride].
struct Columns {
  const ActBlock* x;  // at the chunk's first block
  int stride;         // ActBlocks from a block to the next: the tile's columns
  const float* from;  // null: the accumulators start at 0
  size_t from_stride;
  float* to;
  size_t to_stride;
};

// A chunk of kPanels panels that lie `stride` blocks apart.
struct Panels {
  const PanelBlock* blocks;
  size_t stride;
  int num_blocks;
};

// Adds the products of inputs [kFirst, kFirst + kCount) * 4 of a block to `sum`.
template <int kPanels, int kColumns, int kFirst, int kCount>
inline void AddProducts(const PanelBlock* const* w, const ActBlock* x,
                        __m512i (&sum)[kPanels][kColumns]) {
#pragma GCC unroll 8
  for (int g = kFirst; g < kFirst + kCount; ++g) {
    __m512i codes[kPanels];
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) codes[p] = _mm512_load_si512(w[p]->codes[g]);
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) {
      const __m512i four = BroadcastDword(x[c].q + 4 * g);
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) sum[p][c] = _mm512_dpbusd_epi32(sum[p][c], codes[p], four);
    }
  }
}

// One scale per 32 inputs.
template <class Format, int kPanels, int kColumns>
inline void AddWhole(const PanelBlock* const* w, const ActBlock* x,
                     __m512 (&acc)[kPanels][kColumns]) {
  __m512i sum[kPanels][kColumns];
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c) {
    const __m512i start = StartValue<Format>(x[c], 0);
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) sum[p][c] = start;
  }
  AddProducts<kPanels, kColumns, 0, 8>(w, x, sum);
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
    const __m512 scale = _mm512_load_ps(w[p]->scale[0]);
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) {
      acc[p][c] = _mm512_fmadd_ps(_mm512_mul_ps(scale, _mm512_cvtepi32_ps(sum[p][c])),
                                  _mm512_set1_ps(x[c].d), acc[p][c]);
    }
    if constexpr (hearth::TraitsOf(Format::kFormat).has_min) {
      const __m512 min = _mm512_load_ps(w[p]->min[0]);
#pragma GCC unroll 6
      for (int c = 0; c < kColumns; ++c)
        acc[p][c] = _mm512_fmadd_ps(min, _mm512_set1_ps(x[c].s), acc[p][c]);
    }
  }
}

// One scale per 16 inputs.
template <class Format, int kPanels, int kColumns>
inline void AddHalves(const PanelBlock* const* w, const ActBlock* x,
                      __m512 (&acc)[kPanels][kColumns]) {
  __m512i sum0[kPanels][kColumns], sum1[kPanels][kColumns];
#pragma GCC unroll 4
  for (int c = 0; c < kColumns; ++c) {
    const __m512i start0 = StartValue<Format>(x[c], 1), start1 = StartValue<Format>(x[c], 2);
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      sum0[p][c] = start0;
      sum1[p][c] = start1;
    }
  }
  AddProducts<kPanels, kColumns, 0, 4>(w, x, sum0);
  AddProducts<kPanels, kColumns, 4, 4>(w, x, sum1);
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
    const __m512 scale0 = _mm512_load_ps(w[p]->scale[0]), scale1 = _mm512_load_ps(w[p]->scale[1]);
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      const __m512 t = _mm512_fmadd_ps(scale1, _mm512_cvtepi32_ps(sum1[p][c]),
                                       _mm512_mul_ps(scale0, _mm512_cvtepi32_ps(sum0[p][c])));
      acc[p][c] = _mm512_fmadd_ps(t, _mm512_set1_ps(x[c].d), acc[p][c]);
    }
    if constexpr (hearth::TraitsOf(Format::kFormat).has_min) {
      const __m512 min0 = _mm512_load_ps(w[p]->min[0]), min1 = _mm512_load_ps(w[p]->min[1]);
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) {
        acc[p][c] = _mm512_fmadd_ps(min0, _mm512_set1_ps(x[c].s0), acc[p][c]);
        acc[p][c] = _mm512_fmadd_ps(min1, _mm512_set1_ps(x[c].s1), acc[p][c]);
      }
    }
  }
}

template <class Format, int kPanels, int kColumns>
void ChunkOfColumns(const Panels& panels, const Columns& at, Ahead& ahead) {
  __m512 acc[kPanels][kColumns];
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) acc[p][c] = _mm512_setzero_ps();
    if (at.from != nullptr) {
#pragma GCC unroll 6
      for (int c = 0; c < kColumns; ++c)
        acc[p][c] = _mm512_loadu_ps(at.from + c * at.from_stride + p * hearth::kStripRows);
    }
  }
  const ActBlock* x = at.x;
  for (int block = 0; block < panels.num_blocks; ++block, x += at.stride) {
    ahead.Step();
    const PanelBlock* w[kPanels];
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) w[p] = panels.blocks + p * panels.stride + block;
    if constexpr (hearth::TraitsOf(Format::kFormat).scale_per_16) {
      AddHalves<Format, kPanels, kColumns>(w, x, acc);
    } else {
      AddWhole<Format, kPanels, kColumns>(w, x, acc);
    }
  }
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c)
      _mm512_storeu_ps(at.to + c * at.to_stride + p * hearth::kStripRows, acc[p][c]);
  }
}

template <class Format, int kPanels>
class ManyProduct {
 public:
  static void Run(const PanelBlock* panels, int num_blocks, const ActBlock* tiles, int num_columns,
                  float* out, size_t out_stride, hearth::Upcoming upcoming) {
    alignas(64) float rest[kBatchTiles * kTileColumns * kRestStride];
    const int num_chunks = (num_blocks + kMaxChunkBlocks - 1) / kMaxChunkBlocks;
    const int chunk_blocks = (num_blocks + num_chunks - 1) / num_chunks;
    const int batch = num_chunks == 1 ? num_columns : kBatchTiles * kTileColumns;
    Ahead ahead(upcoming.bytes, upcoming.size, int64_t{num_blocks} * NumParts(num_columns));
    for (int first = 0; first < num_columns; first += batch) {
      const int end = num_columns - first < batch ? num_columns : first + batch;
      for (int begin = 0; begin < num_blocks; begin += chunk_blocks) {
        const bool last = num_blocks - begin <= chunk_blocks;
        const Panels chunk{panels + begin, static_cast<size_t>(num_blocks),
                           last ? num_blocks - begin : chunk_blocks};
        for (int column = first; column < end; column += kTileColumns) {
          const int columns = end - column < kTileColumns ? end - column : kTileColumns;
          float* const resting = rest + (column - first) * kRestStride;
          RunTile(chunk, columns,
                  {tiles + static_cast<size_t>(column) * num_blocks +
                       static_cast<size_t>(begin) * columns,
                   columns, begin == 0 ? nullptr : resting, kRestStride,
                   last ? out + column * out_stride : resting, last ? out_stride : kRestStride},
                  ahead);
        }
      }
    }
  }

 private:
  // At most so many columns that everything stays in registers.
  static constexpr int kMaxColumns = hearth::TraitsOf(Format::kFormat).scale_per_16 ? 4 : 6;

  static int PartsOfTile(int columns) { return (columns + kMaxColumns - 1) / kMaxColumns; }
  static int NumParts(int num_columns) {
    return num_columns / kTileColumns * PartsOfTile(kTileColumns) +
           PartsOfTile(num_columns % kTileColumns);
  }

  // In parts that are as equal as can be: few columns have few products that are independent.
  static void RunTile(const Panels& chunk, int columns, Columns at, Ahead& ahead) {
    for (int parts = PartsOfTile(columns); parts > 0; --parts) {
      const int part = (columns + parts - 1) / parts;
      // Asked for before it is written: columns lie apart, in no cache near. Both ends, for they
      // need not be aligned.
      for (int c = 0; c < part; ++c) {
        PrefetchToWrite(at.to + c * at.to_stride);
        PrefetchToWrite(at.to + c * at.to_stride + kPanels * hearth::kStripRows - 1);
      }
      kByColumns[part - 1](chunk, at, ahead);
      columns -= part;
      at.x += part;
      if (at.from != nullptr) at.from += part * at.from_stride;
      at.to += part * at.to_stride;
    }
  }

  using Function = void (*)(const Panels&, const Columns&, Ahead&);
  static constexpr Function kByColumns[6] = {ChunkOfColumns<Format, kPanels, 1>,
                                             ChunkOfColumns<Format, kPanels, 2>,
                                             ChunkOfColumns<Format, kPanels, 3>,
                                             ChunkOfColumns<Format, kPanels, 4>,
                                             kMaxColumns < 5 ? nullptr : ChunkOfColumns < Format,
                                             kPanels,
                                             kMaxColumns<5 ? 1 : 5>,
                                             kMaxColumns < 6 ? nullptr : ChunkOfColumns < Format,
                                             kPanels,
                                             kMaxColumns<6 ? 1 : 6>};
};

template <class Format>
void Many(const PanelBlock* panels, int num_panels, int num_blocks, const ActBlock* tiles,
          int num_columns, float* out, size_t out_stride, hearth::Upcoming upcoming) noexcept {
  const auto run = num_panels == 1 ? ManyProduct<Format, 1>::Run : ManyProduct<Format, 2>::Run;
  run(panels, num_blocks, tiles, num_columns, out, out_stride, upcoming);
}

}  // namespace
