#include "runtime/kernels/neon/matmul_inl.h"
#include "runtime/kernels/neon/six_bit.h"

namespace {

// d 16 x f16, dmin 16 x f16, eight scales and eight mins of 6 bits (192 bytes), eight blocks of
// nibbles.
struct Q4_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ4_K;
  static constexpr bool kSignedCodes = false;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = ScaleMinHeader::kBytes + 8 * 256;
  using Group = ScaleMinHeader;
  static Group Open(const uint8_t* group) { return OpenScaleMin(group); }
  static void Block(const uint8_t* group, const Group& g, int b, int quarter, Weights& w) {
    ScaleMinOf(g, b, quarter, w);
    LoadNibbles(group + ScaleMinHeader::kBytes + 256 * b, quarter, w.codes);
  }
};

}  // namespace

namespace hearth::neon {
const MatmulKernels kQ4_KKernels = MakeKernels<Q4_K>();
}
