#pragma once
// Dot products of bytes for matmul_inl.h, with AVX2 alone: vpmaddubsw multiplies unsigned codes
// with a broadcast dword of signed activations and adds pairs in 16 bits; vpmaddwd widens to 32.
//
// No sum in 16 bits ever saturates: activations lie within +-127, so that a pair of products is at
// most 2 * 127 * (2^bits - 1), and kGroupsIn16Bits of those are added before they are widened.
// Signed codes go through vpmaddubsw as |code| times the activation with the code's sign; the
// largest pair is then 2 * 127 * 128 = 32512.

#include "runtime/kernels/avx2/blocks_inl.h"

namespace {

template <class Format>
inline constexpr int kGroupsIn16Bits = Format::kCodeBits <= 4   ? 8
                                       : Format::kCodeBits == 5 ? 4
                                       : Format::kCodeBits == 6 ? 2
                                                                : 1;

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

// pairs += codes * a broadcast dword of activations, for both halves of the rows. Written in
// assembly because g++ 12 keeps the sums of such a loop in memory and stores each after every
// addition, which halves its speed.
inline void AddPairs(__m256i low, __m256i high, const int8_t* q, __m256i& low_pairs,
                     __m256i& high_pairs) {
  __m256i activations, products;
  asm("vpbroadcastd %[q], %[activations]\n\t"
      "vpmaddubsw %[activations], %[low], %[products]\n\t"
      "vpaddw %[products], %[low_pairs], %[low_pairs]\n\t"
      "vpmaddubsw %[activations], %[high], %[activations]\n\t"
      "vpaddw %[activations], %[high_pairs], %[high_pairs]"
      : [low_pairs] "+x"(low_pairs), [high_pairs] "+x"(high_pairs),
        [activations] "=&x"(activations), [products] "=&x"(products)
      : [q] "m"(*reinterpret_cast<const int32_t*>(q)), [low] "x"(low), [high] "x"(high));
}

// kStep groups of kColumns columns, all 16 rows, widened at once. A broadcast activation dword
// serves both halves of the rows, a weight vector all columns. The loop over groups stays one:
// unrolled, the compiler moves all products to the front and has them wait in memory.
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
    for (int c = 0; c < kColumns; ++c)
      AddPairs(low, high, tile[c].q + 4 * g, pairs[0][c], pairs[1][c]);
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

// kGroups groups from `first` on of kColumns columns: sum[rows][column] plus their products.
template <class Format, int kColumns, int kGroups>
inline void AddPanelGroups(const PanelBlock& panel, const ActBlock* tile, int first,
                           __m256i (*sum)[kColumns]) {
  constexpr int kStep = kGroupsIn16Bits<Format> < kGroups ? kGroupsIn16Bits<Format> : kGroups;
#pragma GCC unroll 1
  for (int g = first; g < first + kGroups; g += kStep) {
    if constexpr (kStep <= 2) {
      AddFewGroups<Format, kColumns, kStep>(panel, tile, g, sum);
    } else {
      AddManyGroups<Format, kColumns, kStep>(panel, tile, g, sum);
    }
  }
}

// Formats whose products are widened after every group or two need registers for both kinds of
// sums: fewer columns at once.
template <class Format>
inline constexpr int kColumnsAtOnce = kGroupsIn16Bits<Format> <= 2 ? 4 : 6;

}  // namespace
