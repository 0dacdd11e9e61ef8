#include "runtime/kernels/avx512/matmul_inl.h"

namespace {

// d 16 x f16, nibbles that index sixteen levels (kIq4NlLevels, here + 128).
struct Iq4Nl {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kIQ4_NL;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 32 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, Weights& w) {
    const __m512i levels = _mm512_broadcast_i32x4(
        _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15));
    w.scale[0] = HalvesToFloat(group);
    LoadNibbles(group + 32, w.codes);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) w.codes[g] = _mm512_shuffle_epi8(levels, w.codes[g]);
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kIq4NlKernels = MakeKernels<Iq4Nl>();
}
