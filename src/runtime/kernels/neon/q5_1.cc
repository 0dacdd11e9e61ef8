#include "runtime/kernels/neon/matmul_inl.h"

namespace {

// d 16 x f16, m 16 x f16, fifth bits 64 bytes, nibbles.
struct Q5_1 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ5_1;
  static constexpr bool kSignedCodes = false;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 64 + 64 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, int quarter, Weights& w) {
    w.scale[0] = HalvesToFloat(group, quarter);
    w.min[0] = HalvesToFloat(group + 32, quarter);
    LoadNibbles(group + 128, quarter, w.codes);
    OrOneBit<4>(vld1q_u8(group + 64 + 16 * quarter), w.codes);
  }
};

}  // namespace

namespace hearth::neon {
const MatmulKernels kQ5_1Kernels = MakeKernels<Q5_1>();
}
