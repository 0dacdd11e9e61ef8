#include "runtime/kernels/neon/matmul_inl.h"

namespace {

// d 16 x f16, codes + 128 as bytes.
struct Q8_0 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ8_0;
  static constexpr bool kSignedCodes = true;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 32 + 512;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, int quarter, Weights& w) {
    w.scale[0] = HalvesToFloat(group, quarter);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) {
      const uint8x16_t codes = vld1q_u8(group + 32 + 64 * g + 16 * quarter);
      w.codes[g] = vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(128)));
    }
  }
};

}  // namespace

namespace hearth::neon {
const MatmulKernels kQ8_0Kernels = MakeKernels<Q8_0>();
}
