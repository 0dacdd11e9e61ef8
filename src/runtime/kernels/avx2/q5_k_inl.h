#pragma once

#include "runtime/kernels/avx2/blocks_inl.h"
#include "runtime/kernels/avx2/six_bit.h"

namespace {

// As Q4_K, with 64 bytes of fifth bits before the nibbles of each block.
struct Q5_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ5_K;
  static constexpr int kCodeBits = 5;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 64 + 192 + 8 * 320;
  struct Group {
    __m256 d[2], dmin[2];
    SixBitVectors scales;
  };
  static Group Open(const uint8_t* group) {
    Group g;
#pragma GCC unroll 2
    for (int rows = 0; rows < 2; ++rows) {
      g.d[rows] = HalvesToFloat(group, rows);
      g.dmin[rows] = _mm256_sub_ps(_mm256_setzero_ps(), HalvesToFloat(group + 32, rows));
    }
    UnpackSixBit(group + 64, g.scales);
    return g;
  }
  static void Block(const uint8_t* group, const Group& g, int b, int rows, Weights& w) {
    w.scale[0] = _mm256_mul_ps(g.d[rows], BytesToFloat(g.scales.v[b], rows));
    w.min[0] = _mm256_mul_ps(g.dmin[rows], BytesToFloat(g.scales.v[8 + b], rows));
    const uint8_t* block = group + 256 + 320 * b;
    LoadNibbles(block + 64, rows, w.codes);
    const __m256i high = LoadVector(block + 32 * rows);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) w.codes[i] = _mm256_or_si256(w.codes[i], OneBit<4>(high, i));
  }
};

}  // namespace
