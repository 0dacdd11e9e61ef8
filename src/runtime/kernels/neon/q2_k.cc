#include "runtime/kernels/neon/matmul_inl.h"

namespace {

// d 16 x f16, dmin 16 x f16, sixteen bytes of 4-bit scale and min per row, eight blocks of two-bit
// codes (128 bytes).
struct Q2_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ2_K;
  static constexpr bool kSignedCodes = false;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 64 + 256 + 8 * 128;
  struct Group {
    float32x4_t d[4], dmin[4];
  };
  static Group Open(const uint8_t* group) {
    Group g;
#pragma GCC unroll 4
    for (int quarter = 0; quarter < 4; ++quarter) {
      g.d[quarter] = HalvesToFloat(group, quarter);
      g.dmin[quarter] = vnegq_f32(HalvesToFloat(group + 32, quarter));
    }
    return g;
  }
  static void Block(const uint8_t* group, const Group& g, int b, int quarter, Weights& w) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const uint8x8_t both = LoadFour(group + 64 + 16 * (2 * b + half) + 4 * quarter);
      w.scale[half] = vmulq_f32(g.d[quarter], FourToFloat(vand_u8(both, vdup_n_u8(15))));
      w.min[half] = vmulq_f32(g.dmin[quarter], FourToFloat(vshr_n_u8(both, 4)));
    }
    LoadTwoBits(group + 320 + 128 * b, quarter, w.codes);
  }
};

}  // namespace

namespace hearth::neon {
const MatmulKernels kQ2_KKernels = MakeKernels<Q2_K>();
}
