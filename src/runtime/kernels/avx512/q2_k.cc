#include "runtime/kernels/avx512/matmul_inl.h"

namespace {

// d 16 x f16, dmin 16 x f16, sixteen bytes of 4-bit scale and min per row, eight blocks of two-bit
// codes (128 bytes).
struct Q2_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ2_K;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 64 + 256 + 8 * 128;
  struct Group {
    __m512 d, dmin;
  };
  static Group Open(const uint8_t* group) {
    return {HalvesToFloat(group), _mm512_sub_ps(_mm512_setzero_ps(), HalvesToFloat(group + 32))};
  }
  static void Block(const uint8_t* group, const Group& g, int b, Weights& w) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512i both = _mm512_cvtepu8_epi32(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(group + 64 + 16 * (2 * b + half))));
      w.scale[half] =
          _mm512_mul_ps(g.d, _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(15))));
      w.min[half] = _mm512_mul_ps(g.dmin, _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4)));
    }
    const uint8_t* block = group + 320 + 128 * b;
    const __m512i low0 = _mm512_loadu_si512(block), low1 = _mm512_loadu_si512(block + 64);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      w.codes[i] = TwoBits<0>(low0, i);
      w.codes[i + 4] = TwoBits<0>(low1, i);
    }
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kQ2_KKernels = MakeKernels<Q2_K>();
}
