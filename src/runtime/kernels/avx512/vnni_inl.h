#pragma once
// What the products of few and of many columns share, for matmul_inl.h.

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "runtime/kernels/kernels.h"
#include "runtime/kernels/strip_format.h"

namespace {

using hearth::ActBlock;
using hearth::kTileColumns;
using hearth::PanelBlock;

inline __m512i BroadcastDword(const void* p) {
  int32_t bits;
  memcpy(&bits, p, sizeof bits);
  return _mm512_set1_epi32(bits);
}

// What the sum of a column begins at: half_or_whole is 0 for that of 32 inputs, 1 and 2 for those
// of 16.
template <class Format>
inline __m512i StartValue(const ActBlock& x, int half_or_whole) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  if constexpr (kTraits.offset_log2 < 0) {
    return _mm512_setzero_si512();
  } else {
    const int32_t* sums[] = {&x.neg_sum, &x.neg_sum0, &x.neg_sum1};
    return _mm512_slli_epi32(_mm512_set1_epi32(*sums[half_or_whole]), kTraits.offset_log2);
  }
}

}  // namespace
