#include "runtime/kernels/avx512/matmul_inl.h"
#include "runtime/kernels/avx512/six_bit.h"

namespace {

// d 16 x f16, sixteen 6-bit scales (192 bytes, - 32), eight blocks of (third bit: 64 bytes, low
// bits: 128 bytes).
struct Q3_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ3_K;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 32 + 192 + 8 * 192;
  struct Group {
    __m512 d;
    SixBitVectors scales;
  };
  static Group Open(const uint8_t* group) {
    Group g;
    g.d = HalvesToFloat(group);
    UnpackSixBit(group + 32, g.scales);
    return g;
  }
  static void Block(const uint8_t* group, const Group& g, int b, Weights& w) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      w.scale[half] = _mm512_mul_ps(
          g.d, _mm512_sub_ps(BytesToFloat(g.scales.v[2 * b + half]), _mm512_set1_ps(32.0f)));
    }
    const uint8_t* block = group + 224 + 192 * b;
    const __m512i high = _mm512_loadu_si512(block);
    const __m512i low0 = _mm512_loadu_si512(block + 64), low1 = _mm512_loadu_si512(block + 128);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      w.codes[i] = _mm512_or_si512(TwoBits<0>(low0, i), OneBit<2>(high, i));
      w.codes[i + 4] = _mm512_or_si512(TwoBits<0>(low1, i), OneBit<2>(high, i + 4));
    }
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kQ3_KKernels = MakeKernels<Q3_K>();
}
