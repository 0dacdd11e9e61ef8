#pragma once
// The sixteen 6-bit vectors of a Q4_K header (PutSixBit in quant/strip.cc), and the header itself,
// which Q5_K shares.

#include <arm_neon.h>
#include <stdint.h>

#include "runtime/kernels/neon/matmul_inl.h"

namespace {

struct alignas(16) SixBitVectors {
  uint8_t v[16][16];  // [vector][row]
};

inline void UnpackSixBit(const uint8_t* packed, SixBitVectors& out) {
  const uint8x16_t mask6 = vdupq_n_u8(63);
#pragma GCC unroll 4
  for (int lane = 0; lane < 4; ++lane) {
    const uint8x16_t run0 = vld1q_u8(packed + 16 * lane);
    const uint8x16_t run1 = vld1q_u8(packed + 64 + 16 * lane);
    const uint8x16_t run2 = vld1q_u8(packed + 128 + 16 * lane);
    vst1q_u8(out.v[lane], vandq_u8(run0, mask6));
    vst1q_u8(out.v[4 + lane], vandq_u8(run1, mask6));
    vst1q_u8(out.v[8 + lane], vandq_u8(run2, mask6));
    // The top two bits of the three runs are bits 0 and 1, 2 and 3, 4 and 5 of the last four
    // vectors.
    const uint8x16_t bits = vsliq_n_u8(vshrq_n_u8(run0, 6), vshrq_n_u8(run1, 6), 2);
    vst1q_u8(out.v[12 + lane], vsliq_n_u8(bits, vshrq_n_u8(run2, 6), 4));
  }
}

// d 16 x f16, dmin 16 x f16, eight scales and eight mins of 6 bits (192 bytes).
struct ScaleMinHeader {
  static constexpr int kBytes = 64 + 192;
  float32x4_t d[4], dmin[4];
  SixBitVectors scales;
};

inline ScaleMinHeader OpenScaleMin(const uint8_t* group) {
  ScaleMinHeader header;
#pragma GCC unroll 4
  for (int quarter = 0; quarter < 4; ++quarter) {
    header.d[quarter] = HalvesToFloat(group, quarter);
    header.dmin[quarter] = vnegq_f32(HalvesToFloat(group + 32, quarter));
  }
  UnpackSixBit(group + 64, header.scales);
  return header;
}

// Scales and mins of four rows of block b.
inline void ScaleMinOf(const ScaleMinHeader& header, int b, int quarter, Weights& w) {
  w.scale[0] = vmulq_f32(header.d[quarter], BytesToFloat(header.scales.v[b], quarter));
  w.min[0] = vmulq_f32(header.dmin[quarter], BytesToFloat(header.scales.v[8 + b], quarter));
}

}  // namespace
