#pragma once

#include "runtime/kernels/avx2/blocks_inl.h"
#include "runtime/kernels/avx2/six_bit.h"

namespace {

// d 16 x f16, sixteen 6-bit scales (192 bytes, - 32), eight blocks of (third bit: 64 bytes, low
// bits: 128 bytes).
struct Q3_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ3_K;
  static constexpr int kCodeBits = 3;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 32 + 192 + 8 * 192;
  struct Group {
    __m256 d[2];
    SixBitVectors scales;
  };
  static Group Open(const uint8_t* group) {
    Group g;
#pragma GCC unroll 2
    for (int rows = 0; rows < 2; ++rows) {
      g.d[rows] = HalvesToFloat(group, rows);
    }
    UnpackSixBit(group + 32, g.scales);
    return g;
  }
  static void Block(const uint8_t* group, const Group& g, int b, int rows, Weights& w) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m256 scale =
          _mm256_sub_ps(BytesToFloat(g.scales.v[2 * b + half], rows), _mm256_set1_ps(32.0f));
      w.scale[half] = _mm256_mul_ps(g.d[rows], scale);
    }
    const uint8_t* block = group + 224 + 192 * b + 32 * rows;
    const __m256i high = LoadVector(block);
    const __m256i low0 = LoadVector(block + 64), low1 = LoadVector(block + 128);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      w.codes[i] = _mm256_or_si256(TwoBits<0>(low0, i), OneBit<2>(high, i));
      w.codes[i + 4] = _mm256_or_si256(TwoBits<0>(low1, i), OneBit<2>(high, i + 4));
    }
  }
};

}  // namespace
