#pragma once

#include "runtime/kernels/avx2/blocks_inl.h"

namespace {

// d 16 x f16, sixteen int8 scales, eight blocks of (bits 4 and 5: 128 bytes, nibbles).
struct Q6_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ6_K;
  static constexpr int kCodeBits = 6;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 32 + 256 + 8 * 384;
  struct Group {
    __m256 d[2];
  };
  static Group Open(const uint8_t* group) {
    return {{HalvesToFloat(group, 0), HalvesToFloat(group, 1)}};
  }
  static void Block(const uint8_t* group, const Group& g, int b, int rows, Weights& w) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const uint8_t* bytes = group + 32 + 16 * (2 * b + half) + 8 * rows;
      const __m256i scales =
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
      w.scale[half] = _mm256_mul_ps(g.d[rows], _mm256_cvtepi32_ps(scales));
    }
    const uint8_t* block = group + 288 + 384 * b;
    LoadNibbles(block + 128, rows, w.codes);
    const __m256i high0 = LoadVector(block + 32 * rows), high1 = LoadVector(block + 64 + 32 * rows);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      w.codes[i] = _mm256_or_si256(w.codes[i], TwoBits<4>(high0, i));
      w.codes[i + 4] = _mm256_or_si256(w.codes[i + 4], TwoBits<4>(high1, i));
    }
  }
};

}  // namespace
