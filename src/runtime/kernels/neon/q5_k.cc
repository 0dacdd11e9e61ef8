#include "runtime/kernels/neon/matmul_inl.h"
#include "runtime/kernels/neon/six_bit.h"

namespace {

// As Q4_K, with 64 bytes of fifth bits before the nibbles of each block.
struct Q5_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ5_K;
  static constexpr bool kSignedCodes = false;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = ScaleMinHeader::kBytes + 8 * 320;
  using Group = ScaleMinHeader;
  static Group Open(const uint8_t* group) { return OpenScaleMin(group); }
  static void Block(const uint8_t* group, const Group& g, int b, int quarter, Weights& w) {
    ScaleMinOf(g, b, quarter, w);
    const uint8_t* block = group + ScaleMinHeader::kBytes + 320 * b;
    LoadNibbles(block + 64, quarter, w.codes);
    OrOneBit<4>(vld1q_u8(block + 16 * quarter), w.codes);
  }
};

}  // namespace

namespace hearth::neon {
const MatmulKernels kQ5_KKernels = MakeKernels<Q5_K>();
}
