#include "runtime/kernels/avx512/matmul_inl.h"

namespace {

// d 16 x f16, m 16 x f16, nibbles.
struct Q4_1 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ4_1;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 64 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, Weights& w) {
    w.scale[0] = HalvesToFloat(group);
    w.min[0] = HalvesToFloat(group + 32);
    LoadNibbles(group + 64, w.codes);
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kQ4_1Kernels = MakeKernels<Q4_1>();
}
