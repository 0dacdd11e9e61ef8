#include "runtime/kernels/avx512/matmul_inl.h"

namespace {

// d 16 x f16, nibbles.
struct Q4_0 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ4_0;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 32 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, Weights& w) {
    w.scale[0] = HalvesToFloat(group);
    LoadNibbles(group + 32, w.codes);
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kQ4_0Kernels = MakeKernels<Q4_0>();
}
