#include "runtime/kernels/avx512/matmul_inl.h"

namespace {

// d 16 x f16, codes + 128 as bytes.
struct Q8_0 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ8_0;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 32 + 512;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, Weights& w) {
    w.scale[0] = HalvesToFloat(group);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) w.codes[g] = _mm512_loadu_si512(group + 32 + 64 * g);
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kQ8_0Kernels = MakeKernels<Q8_0>();
}
