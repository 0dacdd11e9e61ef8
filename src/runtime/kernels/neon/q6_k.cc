#include "runtime/kernels/neon/matmul_inl.h"

namespace {

// d 16 x f16, sixteen int8 scales, eight blocks of (bits 4 and 5: 128 bytes, nibbles).
struct Q6_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ6_K;
  static constexpr bool kSignedCodes = false;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 32 + 256 + 8 * 384;
  struct Group {
    float32x4_t d[4];
  };
  static Group Open(const uint8_t* group) {
    return {{HalvesToFloat(group, 0), HalvesToFloat(group, 1), HalvesToFloat(group, 2),
             HalvesToFloat(group, 3)}};
  }
  static void Block(const uint8_t* group, const Group& g, int b, int quarter, Weights& w) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const float32x4_t scales = SignedBytesToFloat(group + 32 + 16 * (2 * b + half), quarter);
      w.scale[half] = vmulq_f32(g.d[quarter], scales);
    }
    const uint8_t* block = group + 288 + 384 * b;
    LoadNibbles(block + 128, quarter, w.codes);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const uint8x16_t high = vld1q_u8(block + 64 * half + 16 * quarter);
      OrField<3, 0, 4>(high, w.codes[4 * half]);
      OrField<3, 2, 4>(high, w.codes[4 * half + 1]);
      OrField<3, 4, 4>(high, w.codes[4 * half + 2]);
      OrField<3, 6, 4>(high, w.codes[4 * half + 3]);
    }
  }
};

}  // namespace

namespace hearth::neon {
const MatmulKernels kQ6_KKernels = MakeKernels<Q6_K>();
}
