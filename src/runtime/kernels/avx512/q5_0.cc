#include "runtime/kernels/avx512/matmul_inl.h"

namespace {

// d 16 x f16, fifth bits 64 bytes, nibbles.
struct Q5_0 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ5_0;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 32 + 64 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, Weights& w) {
    w.scale[0] = HalvesToFloat(group);
    LoadNibbles(group + 96, w.codes);
    const __m512i high = _mm512_loadu_si512(group + 32);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) w.codes[g] = _mm512_or_si512(w.codes[g], OneBit<4>(high, g));
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kQ5_0Kernels = MakeKernels<Q5_0>();
}
