// Integer products of the 256-bit tables, few columns and many. Whoever includes this has included
// a dot_inl.h, which brings AddGroups, AddPanelGroups and kColumnsAtOnce. Everything is in an
// anonymous namespace.

#include "runtime/kernels/avx2/blocks_inl.h"
#include "runtime/kernels/many_tiles_inl.h"
#include "runtime/kernels/prefetch_inl.h"

namespace {

using hearth::kFewColumns;

// acc plus one block of one column.
template <class Format>
inline __m256 AddBlock(const Weights& w, const ActBlock& x, __m256 acc) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  if constexpr (!kTraits.scale_per_16) {
    const __m256i sum = AddGroups<Format, 8>(w.codes, x.q, StartValue<Format>(x, 0));
    acc = _mm256_fmadd_ps(_mm256_mul_ps(w.scale[0], _mm256_cvtepi32_ps(sum)), _mm256_set1_ps(x.d),
                          acc);
    if constexpr (kTraits.has_min) acc = _mm256_fmadd_ps(w.min[0], _mm256_set1_ps(x.s), acc);
  } else {
    const __m256i sum0 = AddGroups<Format, 4>(w.codes, x.q, StartValue<Format>(x, 1));
    const __m256i sum1 = AddGroups<Format, 4>(w.codes + 4, x.q + 16, StartValue<Format>(x, 2));
    const __m256 t = _mm256_fmadd_ps(w.scale[1], _mm256_cvtepi32_ps(sum1),
                                     _mm256_mul_ps(w.scale[0], _mm256_cvtepi32_ps(sum0)));
    acc = _mm256_fmadd_ps(t, _mm256_set1_ps(x.d), acc);
    if constexpr (kTraits.has_min) {
      acc = _mm256_fmadd_ps(w.min[0], _mm256_set1_ps(x.s0), acc);
      acc = _mm256_fmadd_ps(w.min[1], _mm256_set1_ps(x.s1), acc);
    }
  }
  return acc;
}

template <int kColumns>
inline void StoreColumns(const __m256 (*acc)[kColumns], float* out, size_t out_stride) {
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    _mm256_storeu_ps(out + c * out_stride, acc[0][c]);
    _mm256_storeu_ps(out + c * out_stride + 8, acc[1][c]);
  }
}

template <class Format>
void OneColumn(const uint8_t* strip, int num_blocks, const ActBlock* tile, float* out, size_t) {
  constexpr int kBlockBytes = Format::kGroupBytes / Format::kBlocks;
  const hearth::PrefetchDistance distance = hearth::StripPrefetch();
  __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int block = 0; block < num_blocks; block += Format::kBlocks, strip += Format::kGroupBytes) {
    const typename Format::Group group = Format::Open(strip);
#pragma GCC unroll 1
    for (int b = 0; b < Format::kBlocks; ++b, ++tile) {
      PrefetchStrip<kBlockBytes>(strip + b * kBlockBytes, distance);
#pragma GCC unroll 1
      for (int rows = 0; rows < 2; ++rows) {
        Weights w;
        Format::Block(strip, group, b, rows, w);
        acc[rows] = AddBlock<Format>(w, *tile, acc[rows]);
      }
    }
  }
  _mm256_storeu_ps(out, acc[0]);
  _mm256_storeu_ps(out + 8, acc[1]);
}

// One block of kColumns columns, all 16 rows. The float accumulators wait in memory meanwhile.
template <class Format, int kColumns>
inline void AddPanelBlock(const PanelBlock& panel, const ActBlock* tile, __m256 (*acc)[kColumns]) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  constexpr int kScales = kTraits.scale_per_16 ? 2 : 1;
  constexpr int kGroups = 8 / kScales;  // per scale
  __m256 t[2][kColumns];
#pragma GCC unroll 2
  for (int s = 0; s < kScales; ++s) {
    __m256i sum[2][kColumns];
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c)
      sum[0][c] = sum[1][c] = StartValue<Format>(tile[c], kScales == 2 ? 1 + s : 0);
    AddPanelGroups<Format, kColumns, kGroups>(panel, tile, s * kGroups, sum);
#pragma GCC unroll 2
    for (int rows = 0; rows < 2; ++rows) {
      const __m256 scale = _mm256_load_ps(panel.scale[s] + 8 * rows);
#pragma GCC unroll 6
      for (int c = 0; c < kColumns; ++c) {
        const __m256 product = _mm256_cvtepi32_ps(sum[rows][c]);
        t[rows][c] =
            s == 0 ? _mm256_mul_ps(scale, product) : _mm256_fmadd_ps(scale, product, t[rows][c]);
      }
    }
  }
#pragma GCC unroll 2
  for (int rows = 0; rows < 2; ++rows) {
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) {
      const ActBlock& x = tile[c];
      __m256 sum = _mm256_fmadd_ps(t[rows][c], _mm256_set1_ps(x.d), acc[rows][c]);
      if constexpr (kTraits.has_min) {
        sum = _mm256_fmadd_ps(_mm256_load_ps(panel.min[0] + 8 * rows),
                              _mm256_set1_ps(kScales == 2 ? x.s0 : x.s), sum);
        if constexpr (kScales == 2) {
          sum = _mm256_fmadd_ps(_mm256_load_ps(panel.min[1] + 8 * rows), _mm256_set1_ps(x.s1), sum);
        }
      }
      acc[rows][c] = sum;
    }
  }
}

// Columns share what they load: each block of the strip is taken apart into a panel of one block,
// which never leaves the first-level cache.
template <class Format, int kColumns>
void FewByPanel(const uint8_t* strip, int num_blocks, const ActBlock* tile, float* out,
                size_t out_stride) {
  constexpr int kBlockBytes = Format::kGroupBytes / Format::kBlocks;
  const hearth::PrefetchDistance distance = hearth::StripPrefetch();
  // Six at once need every register; here, beside the unpacking, g++ 12 runs out of them.
  constexpr int kFirst =
      kColumns < kColumnsAtOnce<Format> || kColumns <= 4 ? kColumns : (kColumns + 1) / 2;
  constexpr int kRest = kColumns - kFirst;
  __m256 first[2][kFirst], rest[2][kRest > 0 ? kRest : 1];
#pragma GCC unroll 8
  for (int c = 0; c < kFirst; ++c) first[0][c] = first[1][c] = _mm256_setzero_ps();
#pragma GCC unroll 8
  for (int c = 0; c < kRest; ++c) rest[0][c] = rest[1][c] = _mm256_setzero_ps();
  PanelBlock panel;
  for (int block = 0; block < num_blocks; block += Format::kBlocks, strip += Format::kGroupBytes) {
    const typename Format::Group group = Format::Open(strip);
#pragma GCC unroll 1
    for (int b = 0; b < Format::kBlocks; ++b, tile += kColumns) {
      PrefetchStrip<kBlockBytes>(strip + b * kBlockBytes, distance);
#pragma GCC unroll 1
      for (int rows = 0; rows < 2; ++rows) {
        Weights w;
        Format::Block(strip, group, b, rows, w);
        StoreWeights<Format>(w, rows, &panel);
      }
      AddPanelBlock<Format, kFirst>(panel, tile, first);
      if constexpr (kRest > 0) AddPanelBlock<Format, kRest>(panel, tile + kFirst, rest);
    }
  }
  StoreColumns<kFirst>(first, out, out_stride);
  if constexpr (kRest > 0) StoreColumns<kRest>(rest, out + kFirst * out_stride, out_stride);
}

template <class Format>
void Few(const std::byte* strip, int num_blocks, const ActBlock* tile, int num_columns, float* out,
         size_t out_stride) noexcept {
  using Function = void (*)(const uint8_t*, int, const ActBlock*, float*, size_t);
  static constexpr Function kByColumns[kFewColumns] = {
      OneColumn<Format>,     FewByPanel<Format, 2>, FewByPanel<Format, 3>, FewByPanel<Format, 4>,
      FewByPanel<Format, 5>, FewByPanel<Format, 6>, FewByPanel<Format, 7>, FewByPanel<Format, 8>};
  kByColumns[num_columns - 1](reinterpret_cast<const uint8_t*>(strip), num_blocks, tile, out,
                              out_stride);
}

template <class Format, int kColumns>
void ManyColumns(const PanelBlock* panel, int num_blocks, const ActBlock* tile, int tile_columns,
                 float* out, size_t out_stride, Ahead& ahead) {
  __m256 acc[2][kColumns];
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c) acc[0][c] = acc[1][c] = _mm256_setzero_ps();
  for (int block = 0; block < num_blocks; ++block, tile += tile_columns) {
    ahead.Step();
    AddPanelBlock<Format, kColumns>(panel[block], tile, acc);
  }
  StoreColumns<kColumns>(acc, out, out_stride);
}

template <class Format>
void ManyOfTile(const PanelBlock* panel, int num_blocks, const ActBlock* tile, int num_columns,
                float* out, size_t out_stride, Ahead& ahead) {
  constexpr int kAtOnce = kColumnsAtOnce<Format>;
  using Function = void (*)(const PanelBlock*, int, const ActBlock*, int, float*, size_t, Ahead&);
  static constexpr Function kByColumns[] = {ManyColumns<Format, 1>, ManyColumns<Format, 2>,
                                            ManyColumns<Format, 3>, ManyColumns<Format, 4>,
                                            ManyColumns<Format, 5>, ManyColumns<Format, 6>};
  for (int c = 0; c < num_columns; c += kAtOnce) {
    const int columns = num_columns - c < kAtOnce ? num_columns - c : kAtOnce;
    kByColumns[columns - 1](panel, num_blocks, tile + c, num_columns, out + c * out_stride,
                            out_stride, ahead);
  }
}

template <class Format>
constexpr hearth::MatmulKernels MakeKernels() {
  return {Few<Format>, Unpack<Format>, Many<ManyOfTile<Format>>};
}

}  // namespace
