#include "runtime/kernels/neon/matmul_inl.h"

namespace {

// d 16 x f16, nibbles that index sixteen levels (kIq4NlLevels).
struct Iq4Nl {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kIQ4_NL;
  static constexpr bool kSignedCodes = true;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 32 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, int quarter, Weights& w) {
    static constexpr int8_t kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                           1,    13,   25,  38,  53,  69,  89,  113};
    const int8x16_t levels = vld1q_s8(kLevels);
    w.scale[0] = HalvesToFloat(group, quarter);
    LoadNibbles(group + 32, quarter, w.codes);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) w.codes[g] = vqtbl1q_s8(levels, vreinterpretq_u8_s8(w.codes[g]));
  }
};

}  // namespace

namespace hearth::neon {
const MatmulKernels kIq4NlKernels = MakeKernels<Iq4Nl>();
}
