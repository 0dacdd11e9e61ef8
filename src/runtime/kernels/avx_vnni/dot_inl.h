#pragma once
// Dot products of bytes for avx2/matmul_inl.h with AVX-VNNI: vpdpbusd multiplies four unsigned
// codes with four signed activations and adds all to a 32-bit sum. Signed codes go through it as
// |code| times the activation with the code's sign.

#include "runtime/kernels/avx2/blocks_inl.h"

namespace {

template <class Format>
inline __m256i AddProducts(__m256i sum, __m256i codes, __m256i activations) {
  if constexpr (Format::kCodeBits == 8) {
    return _mm256_dpbusd_avx_epi32(sum, _mm256_abs_epi8(codes),
                                   _mm256_sign_epi8(activations, codes));
  } else {
    return _mm256_dpbusd_avx_epi32(sum, codes, activations);
  }
}

// sum plus the products of kGroups groups of four inputs.
template <class Format, int kGroups>
inline __m256i AddGroups(const __m256i* codes, const int8_t* q, __m256i sum) {
#pragma GCC unroll 8
  for (int g = 0; g < kGroups; ++g)
    sum = AddProducts<Format>(sum, codes[g], BroadcastDword(q + 4 * g));
  return sum;
}

// kGroups groups from `first` on of kColumns columns: sum[rows][column] plus their products. A
// broadcast activation dword serves both halves of the rows, a weight vector all columns; with six
// columns twelve of the sixteen registers hold sums.
template <class Format, int kColumns, int kGroups>
inline void AddPanelGroups(const PanelBlock& panel, const ActBlock* tile, int first,
                           __m256i (*sum)[kColumns]) {
#pragma GCC unroll 1
  for (int g = first; g < first + kGroups; ++g) {
    const __m256i low = LoadVector(panel.codes[g]), high = LoadVector(panel.codes[g] + 32);
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) {
      const __m256i activations = BroadcastDword(tile[c].q + 4 * g);
      sum[0][c] = AddProducts<Format>(sum[0][c], low, activations);
      sum[1][c] = AddProducts<Format>(sum[1][c], high, activations);
    }
  }
}

template <class Format>
inline constexpr int kColumnsAtOnce = 6;

}  // namespace
