#pragma once

#include "runtime/kernels/avx2/blocks_inl.h"
#include "runtime/kernels/avx2/six_bit.h"

namespace {

// d 16 x f16, dmin 16 x f16, eight scales and eight mins of 6 bits (192 bytes), eight blocks of
// nibbles.
struct Q4_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ4_K;
  static constexpr int kCodeBits = 4;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 64 + 192 + 8 * 256;
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
    LoadNibbles(group + 256 + 256 * b, rows, w.codes);
  }
};

}  // namespace
