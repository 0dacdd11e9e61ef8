#include "runtime/kernels/neon/matmul_inl.h"
#include "runtime/kernels/neon/six_bit.h"

namespace {

// As Q4_K, with 64 bytes of fifth bits before the nibbles of each block.
struct Q5_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ5_K;
  static constexpr bool kSignedCodes = false;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 64 + 192 + 8 * 320;
  struct Group {
    float32x4_t d[4], dmin[4];
    SixBitVectors scales;
  };
  static Group Open(const uint8_t* group) {
    Group g;
#pragma GCC unroll 4
    for (int quarter = 0; quarter < 4; ++quarter) {
      g.d[quarter] = HalvesToFloat(group, quarter);
      g.dmin[quarter] = vnegq_f32(HalvesToFloat(group + 32, quarter));
    }
    UnpackSixBit(group + 64, g.scales);
    return g;
  }
  static void Block(const uint8_t* group, const Group& g, int b, int quarter, Weights& w) {
    w.scale[0] = vmulq_f32(g.d[quarter], BytesToFloat(g.scales.v[b], quarter));
    w.min[0] = vmulq_f32(g.dmin[quarter], BytesToFloat(g.scales.v[8 + b], quarter));
    const uint8_t* block = group + 256 + 320 * b;
    LoadNibbles(block + 64, quarter, w.codes);
    OrOneBit<4>(vld1q_u8(block + 16 * quarter), w.codes);
  }
};

}  // namespace

namespace hearth::neon {
const MatmulKernels kQ5_KKernels = MakeKernels<Q5_K>();
}
