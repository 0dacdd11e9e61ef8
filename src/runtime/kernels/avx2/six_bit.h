#pragma once
// The sixteen 6-bit vectors of Q4_K, Q5_K and Q3_K headers (PutSixBit in quant/strip.cc).

#include <immintrin.h>
#include <stdint.h>

namespace {

struct alignas(32) SixBitVectors {
  uint8_t v[16][16];  // [vector][row]
};

// Vectors 2 * pair and 2 * pair + 1 of each of the three runs of four: 32 bytes.
inline void UnpackSixBit(const uint8_t* packed, SixBitVectors& out) {
  const __m256i mask6 = _mm256_set1_epi8(63), mask2 = _mm256_set1_epi8(3);
#pragma GCC unroll 2
  for (int pair = 0; pair < 2; ++pair) {
    __m256i run[3];
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      run[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(packed + 64 * i + 32 * pair));
      _mm256_store_si256(reinterpret_cast<__m256i*>(out.v[4 * i + 2 * pair]),
                         _mm256_and_si256(run[i], mask6));
    }
    const __m256i b01 = _mm256_and_si256(_mm256_srli_epi16(run[0], 6), mask2);
    const __m256i b23 = _mm256_and_si256(_mm256_srli_epi16(run[1], 4), _mm256_slli_epi16(mask2, 2));
    const __m256i b45 = _mm256_and_si256(_mm256_srli_epi16(run[2], 2), _mm256_slli_epi16(mask2, 4));
    _mm256_store_si256(reinterpret_cast<__m256i*>(out.v[12 + 2 * pair]),
                       _mm256_or_si256(_mm256_or_si256(b01, b23), b45));
  }
}

}  // namespace
