#include "runtime/kernels/avx512/matmul_inl.h"

namespace {

// d 16 x f16, m 16 x f16, fifth bits 64 bytes, nibbles.
struct Q5_1 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ5_1;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 64 + 64 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, Weights& w) {
    w.scale[0] = HalvesToFloat(group);
    w.min[0] = HalvesToFloat(group + 32);
    LoadNibbles(group + 128, w.codes);
    const __m512i high = _mm512_loadu_si512(group + 64);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) w.codes[g] = _mm512_or_si512(w.codes[g], OneBit<4>(high, g));
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kQ5_1Kernels = MakeKernels<Q5_1>();
}
