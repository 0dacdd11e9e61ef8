#include "runtime/kernels/neon/matmul_inl.h"
#include "runtime/kernels/neon/six_bit.h"

namespace {

// d 16 x f16, sixteen 6-bit scales (192 bytes, - 32), eight blocks of (third bit: 64 bytes, low
// bits: 128 bytes).
struct Q3_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ3_K;
  static constexpr bool kSignedCodes = false;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 32 + 192 + 8 * 192;
  struct Group {
    float32x4_t d[4];
    SixBitVectors scales;
  };
  static Group Open(const uint8_t* group) {
    Group g;
#pragma GCC unroll 4
    for (int quarter = 0; quarter < 4; ++quarter) g.d[quarter] = HalvesToFloat(group, quarter);
    UnpackSixBit(group + 32, g.scales);
    return g;
  }
  static void Block(const uint8_t* group, const Group& g, int b, int quarter, Weights& w) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const float32x4_t scales = BytesToFloat(g.scales.v[2 * b + half], quarter);
      w.scale[half] = vmulq_f32(g.d[quarter], vsubq_f32(scales, vdupq_n_f32(32.0f)));
    }
    const uint8_t* block = group + 224 + 192 * b;
    LoadTwoBits(block + 64, quarter, w.codes);
    OrOneBit<2>(vld1q_u8(block + 16 * quarter), w.codes);
  }
};

}  // namespace

namespace hearth::neon {
const MatmulKernels kQ3_KKernels = MakeKernels<Q3_K>();
}
