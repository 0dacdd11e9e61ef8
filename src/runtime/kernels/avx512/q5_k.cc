#include "runtime/kernels/avx512/matmul_inl.h"
#include "runtime/kernels/avx512/six_bit.h"

namespace {

// As Q4_K, with 64 bytes of fifth bits before the nibbles of each block.
struct Q5_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ5_K;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 64 + 192 + 8 * 320;
  struct Group {
    __m512 d, dmin;
    SixBitVectors scales;
  };
  static Group Open(const uint8_t* group) {
    Group g;
    g.d = HalvesToFloat(group);
    g.dmin = _mm512_sub_ps(_mm512_setzero_ps(), HalvesToFloat(group + 32));
    UnpackSixBit(group + 64, g.scales);
    return g;
  }
  static void Block(const uint8_t* group, const Group& g, int b, Weights& w) {
    w.scale[0] = _mm512_mul_ps(g.d, BytesToFloat(g.scales.v[b]));
    w.min[0] = _mm512_mul_ps(g.dmin, BytesToFloat(g.scales.v[8 + b]));
    const uint8_t* block = group + 256 + 320 * b;
    LoadNibbles(block + 64, w.codes);
    const __m512i high = _mm512_loadu_si512(block);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) w.codes[i] = _mm512_or_si512(w.codes[i], OneBit<4>(high, i));
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kQ5_KKernels = MakeKernels<Q5_K>();
}
