#include "runtime/kernels/neon/matmul_inl.h"

namespace {

// d 16 x f16, fifth bits 64 bytes, nibbles.
struct Q5_0 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ5_0;
  static constexpr bool kSignedCodes = false;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 32 + 64 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, int quarter, Weights& w) {
    w.scale[0] = HalvesToFloat(group, quarter);
    LoadNibbles(group + 96, quarter, w.codes);
    OrOneBit<4>(vld1q_u8(group + 32 + 16 * quarter), w.codes);
  }
};

}  // namespace

namespace hearth::neon {
const MatmulKernels kQ5_0Kernels = MakeKernels<Q5_0>();
}
