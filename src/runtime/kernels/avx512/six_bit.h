#pragma once
// The sixteen 6-bit vectors of Q4_K, Q5_K and Q3_K headers (PutSixBit in quant/strip.cc).

#include <immintrin.h>
#include <stdint.h>

namespace {

struct alignas(64) SixBitVectors {
  uint8_t v[16][16];  // [vector][row]
};

inline void UnpackSixBit(const uint8_t* packed, SixBitVectors& out) {
  const __m512i mask6 = _mm512_set1_epi8(63), mask2 = _mm512_set1_epi8(3);
  const __m512i z0 = _mm512_loadu_si512(packed), z1 = _mm512_loadu_si512(packed + 64),
                z2 = _mm512_loadu_si512(packed + 128);
  _mm512_store_si512(out.v[0], _mm512_and_si512(z0, mask6));
  _mm512_store_si512(out.v[4], _mm512_and_si512(z1, mask6));
  _mm512_store_si512(out.v[8], _mm512_and_si512(z2, mask6));
  const __m512i b01 = _mm512_and_si512(_mm512_srli_epi16(z0, 6), mask2);
  const __m512i b23 = _mm512_and_si512(_mm512_srli_epi16(z1, 4), _mm512_slli_epi16(mask2, 2));
  const __m512i b45 = _mm512_and_si512(_mm512_srli_epi16(z2, 2), _mm512_slli_epi16(mask2, 4));
  _mm512_store_si512(out.v[12], _mm512_or_si512(_mm512_or_si512(b01, b23), b45));
}

inline __m512 BytesToFloat(const uint8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p))));
}

}  // namespace
