#pragma once

#include "runtime/kernels/avx2/blocks_inl.h"

namespace {

// d 16 x f16, dmin 16 x f16, sixteen bytes of 4-bit scale and min per row, eight blocks of two-bit
// codes (128 bytes).
struct Q2_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ2_K;
  static constexpr int kCodeBits = 2;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 64 + 256 + 8 * 128;
  struct Group {
    __m256 d[2], dmin[2];
  };
  static Group Open(const uint8_t* group) {
    Group g;
#pragma GCC unroll 2
    for (int rows = 0; rows < 2; ++rows) {
      g.d[rows] = HalvesToFloat(group, rows);
      g.dmin[rows] = _mm256_sub_ps(_mm256_setzero_ps(), HalvesToFloat(group + 32, rows));
    }
    return g;
  }
  static void Block(const uint8_t* group, const Group& g, int b, int rows, Weights& w) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const uint8_t* bytes = group + 64 + 16 * (2 * b + half) + 8 * rows;
      const __m256i both =
          _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
      w.scale[half] = _mm256_mul_ps(
          g.d[rows], _mm256_cvtepi32_ps(_mm256_and_si256(both, _mm256_set1_epi32(15))));
      w.min[half] = _mm256_mul_ps(g.dmin[rows], _mm256_cvtepi32_ps(_mm256_srli_epi32(both, 4)));
    }
    const uint8_t* block = group + 320 + 128 * b + 32 * rows;
    const __m256i low0 = LoadVector(block), low1 = LoadVector(block + 64);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      w.codes[i] = TwoBits<0>(low0, i);
      w.codes[i + 4] = TwoBits<0>(low1, i);
    }
  }
};

}  // namespace
