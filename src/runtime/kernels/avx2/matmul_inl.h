// Integer products for AVX2: one ymm is 8 rows x 4 inputs, so a strip's 16 rows are done in two
// halves. vpmaddubsw multiplies unsigned codes with a broadcast dword of signed activations and
// adds pairs in 16 bits; vpmaddwd widens to 32. Each format's file defines a Format struct and
// includes this; everything is in an anonymous namespace.
//
// struct Format {
//   static constexpr hearth::StripFormat kFormat;
//   static constexpr int kCodeBits;         // 8: the codes in registers and panels are signed, the
//   offset already taken off static constexpr int kBlocks;           // blocks of 32 inputs per
//   group static constexpr int kGroupBytes; struct Group;                           // what a
//   group's header unpacks to, in registers or on the stack static Group Open(const uint8_t*
//   group); static void Block(const uint8_t* group, const Group&, int b, int rows, Weights& w);  //
//   rows 0: 0-7, 1: 8-15
// };
//
// No sum in 16 bits ever saturates: activations lie within +-127, so that a pair of products is at
// most 2 * 127 * (2^bits - 1), and kGroupsIn16Bits of those are added before they are widened.
// Signed codes go through vpmaddubsw as |code| times the activation with the code's sign; the
// largest pair is then 2 * 127 * 128 = 32512.

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/kernels/avx2/formats.h"
#include "runtime/kernels/many_tiles_inl.h"
#include "runtime/kernels/prefetch_inl.h"
#include "runtime/kernels/strip_format.h"

namespace {

using hearth::ActBlock;
using hearth::kFewColumns;
using hearth::kTileColumns;
using hearth::PanelBlock;

// Eight rows of a block of 32 inputs in registers.
struct Weights {
  __m256i codes[8];
  __m256 scale[2];
  __m256 min[2];
};

template <class Format>
inline constexpr int kGroupsIn16Bits = Format::kCodeBits <= 4   ? 8
                                       : Format::kCodeBits == 5 ? 4
                                       : Format::kCodeBits == 6 ? 2
                                                                : 1;

inline __m256i BroadcastDword(const void* p) {
  int32_t bits;
  memcpy(&bits, p, sizeof bits);
  return _mm256_set1_epi32(bits);
}

inline __m256i LoadVector(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

// Eight rows' f16 values. `halves` points at the sixteen of the strip.
inline __m256 HalvesToFloat(const uint8_t* halves, int rows) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + 16 * rows)));
}

inline __m256 BytesToFloat(const uint8_t* bytes, int rows) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + 8 * rows))));
}

// Four vectors of 64 bytes of nibbles: vector j holds group j low, group j + 4 high.
inline void LoadNibbles(const uint8_t* p, int rows, __m256i codes[8]) {
  const __m256i mask = _mm256_set1_epi8(15);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m256i packed = LoadVector(p + 64 * j + 32 * rows);
    codes[j] = _mm256_and_si256(packed, mask);
    codes[j + 4] = _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask);
  }
}

// Two-bit fields, shifted to bit kShift: a vector holds four groups.
template <int kShift>
inline __m256i TwoBits(__m256i packed, int group_in_vector) {
  const __m256i mask = _mm256_set1_epi8(3 << kShift);
  const int shift = kShift - 2 * group_in_vector;
  const __m256i moved =
      shift >= 0 ? _mm256_slli_epi16(packed, shift) : _mm256_srli_epi16(packed, -shift);
  return _mm256_and_si256(moved, mask);
}

// One bit per group, shifted to bit kShift.
template <int kShift>
inline __m256i OneBit(__m256i packed, int group) {
  const __m256i mask = _mm256_set1_epi8(1 << kShift);
  const int shift = kShift - group;
  const __m256i moved =
      shift >= 0 ? _mm256_slli_epi16(packed, shift) : _mm256_srli_epi16(packed, -shift);
  return _mm256_and_si256(moved, mask);
}

// What a sum over 32 inputs (which: 0) or over the first or second 16 (1, 2) starts from: -offset *
// sum of q.
template <class Format>
inline __m256i StartValue(const ActBlock& x, int which) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  if constexpr (kTraits.offset_log2 < 0 || Format::kCodeBits == 8) {
    return _mm256_setzero_si256();
  } else {
    const int32_t* sums[] = {&x.neg_sum, &x.neg_sum0, &x.neg_sum1};
    return _mm256_slli_epi32(_mm256_set1_epi32(*sums[which]), kTraits.offset_log2);
  }
}

// Four inputs of eight rows as pairs in 16 bits.
template <class Format>
inline __m256i PairProducts(__m256i codes, __m256i activations) {
  if constexpr (Format::kCodeBits == 8) {
    return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(activations, codes));
  } else {
    return _mm256_maddubs_epi16(codes, activations);
  }
}

inline __m256i Widen(__m256i pairs, __m256i sum) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// sum plus the products of kGroups groups of four inputs.
template <class Format, int kGroups>
inline __m256i AddGroups(const __m256i* codes, const int8_t* q, __m256i sum) {
  constexpr int kStep = kGroupsIn16Bits<Format> < kGroups ? kGroupsIn16Bits<Format> : kGroups;
#pragma GCC unroll 8
  for (int g = 0; g < kGroups; g += kStep) {
    __m256i pairs = PairProducts<Format>(codes[g], BroadcastDword(q + 4 * g));
#pragma GCC unroll 8
    for (int i = g + 1; i < g + kStep; ++i) {
      pairs = _mm256_add_epi16(pairs, PairProducts<Format>(codes[i], BroadcastDword(q + 4 * i)));
    }
    sum = Widen(pairs, sum);
  }
  return sum;
}

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

template <class Format, int kColumns>
void FewColumns(const uint8_t* strip, int num_blocks, const ActBlock* tile, float* out,
                size_t out_stride) {
  constexpr int kBlockBytes = Format::kGroupBytes / Format::kBlocks;
  __m256 acc[2][kColumns];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) acc[0][c] = acc[1][c] = _mm256_setzero_ps();
  for (int block = 0; block < num_blocks; block += Format::kBlocks, strip += Format::kGroupBytes) {
    const typename Format::Group group = Format::Open(strip);
#pragma GCC unroll 1
    for (int b = 0; b < Format::kBlocks; ++b, tile += kColumns) {
      PrefetchStrip<kBlockBytes>(strip + b * kBlockBytes);
#pragma GCC unroll 1
      for (int rows = 0; rows < 2; ++rows) {
        Weights w;
        Format::Block(strip, group, b, rows, w);
#pragma GCC unroll 1
        for (int c = 0; c < kColumns; ++c)
          acc[rows][c] = AddBlock<Format>(w, tile[c], acc[rows][c]);
      }
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    _mm256_storeu_ps(out + c * out_stride, acc[0][c]);
    _mm256_storeu_ps(out + c * out_stride + 8, acc[1][c]);
  }
}

template <class Format>
void Few(const std::byte* strip, int num_blocks, const ActBlock* tile, int num_columns, float* out,
         size_t out_stride) noexcept {
  using Function = void (*)(const uint8_t*, int, const ActBlock*, float*, size_t);
  static constexpr Function kByColumns[kFewColumns] = {
      FewColumns<Format, 1>, FewColumns<Format, 2>, FewColumns<Format, 3>, FewColumns<Format, 4>,
      FewColumns<Format, 5>, FewColumns<Format, 6>, FewColumns<Format, 7>, FewColumns<Format, 8>};
  kByColumns[num_columns - 1](reinterpret_cast<const uint8_t*>(strip), num_blocks, tile, out,
                              out_stride);
}

template <class Format>
void Unpack(const std::byte* bytes, int num_blocks, PanelBlock* panel) noexcept {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  const auto* strip = reinterpret_cast<const uint8_t*>(bytes);
  for (int block = 0; block < num_blocks; block += Format::kBlocks, strip += Format::kGroupBytes) {
    const typename Format::Group group = Format::Open(strip);
#pragma GCC unroll 1
    for (int b = 0; b < Format::kBlocks; ++b, ++panel) {
#pragma GCC unroll 2
      for (int rows = 0; rows < 2; ++rows) {
        Weights w;
        Format::Block(strip, group, b, rows, w);
#pragma GCC unroll 8
        for (int g = 0; g < 8; ++g) {
          _mm256_store_si256(reinterpret_cast<__m256i*>(panel->codes[g] + 32 * rows), w.codes[g]);
        }
        _mm256_store_ps(panel->scale[0] + 8 * rows, w.scale[0]);
        if constexpr (kTraits.scale_per_16) _mm256_store_ps(panel->scale[1] + 8 * rows, w.scale[1]);
        if constexpr (kTraits.has_min) _mm256_store_ps(panel->min[0] + 8 * rows, w.min[0]);
        if constexpr (kTraits.has_min && kTraits.scale_per_16)
          _mm256_store_ps(panel->min[1] + 8 * rows, w.min[1]);
      }
    }
  }
}

// kStep groups of kColumns columns, all 16 rows, widened at once. A broadcast activation dword
// serves both halves of the rows, a weight vector all columns; with six columns twelve of the
// sixteen registers hold sums. The loop over groups stays one: unrolled, the compiler moves all
// products to the front and has them wait in memory.
template <class Format, int kColumns, int kStep>
inline void AddManyGroups(const PanelBlock& panel, const ActBlock* tile, int first,
                          __m256i (*sum)[kColumns]) {
  __m256i pairs[2][kColumns];
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c) pairs[0][c] = pairs[1][c] = _mm256_setzero_si256();
#pragma GCC unroll 1
  for (int g = first; g < first + kStep; ++g) {
    const __m256i low = LoadVector(panel.codes[g]), high = LoadVector(panel.codes[g] + 32);
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) {
      const __m256i activations = BroadcastDword(tile[c].q + 4 * g);
      pairs[0][c] = _mm256_add_epi16(pairs[0][c], PairProducts<Format>(low, activations));
      pairs[1][c] = _mm256_add_epi16(pairs[1][c], PairProducts<Format>(high, activations));
    }
  }
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c) {
    sum[0][c] = Widen(pairs[0][c], sum[0][c]);
    sum[1][c] = Widen(pairs[1][c], sum[1][c]);
  }
}

// The same for one or two groups, whose pairs need not be kept.
template <class Format, int kColumns, int kStep>
inline void AddFewGroups(const PanelBlock& panel, const ActBlock* tile, int first,
                         __m256i (*sum)[kColumns]) {
#pragma GCC unroll 2
  for (int rows = 0; rows < 2; ++rows) {
    __m256i codes[kStep];
#pragma GCC unroll 2
    for (int i = 0; i < kStep; ++i) codes[i] = LoadVector(panel.codes[first + i] + 32 * rows);
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) {
      __m256i pairs = PairProducts<Format>(codes[0], BroadcastDword(tile[c].q + 4 * first));
      if constexpr (kStep == 2) {
        pairs = _mm256_add_epi16(
            pairs, PairProducts<Format>(codes[1], BroadcastDword(tile[c].q + 4 * first + 4)));
      }
      sum[rows][c] = Widen(pairs, sum[rows][c]);
    }
  }
}

// One block of kColumns columns, all 16 rows. The float accumulators wait in memory meanwhile.
template <class Format, int kColumns>
inline void AddPanelBlock(const PanelBlock& panel, const ActBlock* tile, __m256 (*acc)[kColumns]) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  constexpr int kScales = kTraits.scale_per_16 ? 2 : 1;
  constexpr int kGroups = 8 / kScales;  // per scale
  constexpr int kStep = kGroupsIn16Bits<Format> < kGroups ? kGroupsIn16Bits<Format> : kGroups;
  __m256 t[2][kColumns];
#pragma GCC unroll 2
  for (int s = 0; s < kScales; ++s) {
    __m256i sum[2][kColumns];
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c)
      sum[0][c] = sum[1][c] = StartValue<Format>(tile[c], kScales == 2 ? 1 + s : 0);
#pragma GCC unroll 1
    for (int first = s * kGroups; first < s * kGroups + kGroups; first += kStep) {
      if constexpr (kStep <= 2) {
        AddFewGroups<Format, kColumns, kStep>(panel, tile, first, sum);
      } else {
        AddManyGroups<Format, kColumns, kStep>(panel, tile, first, sum);
      }
    }
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

template <class Format, int kColumns>
void ManyColumns(const PanelBlock* panel, int num_blocks, const ActBlock* tile, int tile_columns,
                 float* out, size_t out_stride) {
  __m256 acc[2][kColumns];
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c) acc[0][c] = acc[1][c] = _mm256_setzero_ps();
  for (int block = 0; block < num_blocks; ++block, tile += tile_columns) {
    AddPanelBlock<Format, kColumns>(panel[block], tile, acc);
  }
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c) {
    _mm256_storeu_ps(out + c * out_stride, acc[0][c]);
    _mm256_storeu_ps(out + c * out_stride + 8, acc[1][c]);
  }
}

// Formats whose products are widened after every group or two need registers for both kinds of
// sums: fewer columns at once.
template <class Format>
void ManyOfTile(const PanelBlock* panel, int num_blocks, const ActBlock* tile, int num_columns,
                float* out, size_t out_stride) {
  constexpr int kAtOnce = kGroupsIn16Bits<Format> <= 2 ? 4 : 6;
  using Function = void (*)(const PanelBlock*, int, const ActBlock*, int, float*, size_t);
  static constexpr Function kByColumns[] = {ManyColumns<Format, 1>, ManyColumns<Format, 2>,
                                            ManyColumns<Format, 3>, ManyColumns<Format, 4>,
                                            ManyColumns<Format, 5>, ManyColumns<Format, 6>};
  for (int c = 0; c < num_columns; c += kAtOnce) {
    const int columns = num_columns - c < kAtOnce ? num_columns - c : kAtOnce;
    kByColumns[columns - 1](panel, num_blocks, tile + c, num_columns, out + c * out_stride,
                            out_stride);
  }
}

template <class Format>
constexpr hearth::MatmulKernels MakeKernels() {
  return {Few<Format>, Unpack<Format>, Many<ManyOfTile<Format>>};
}

}  // namespace
