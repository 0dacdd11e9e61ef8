#include "runtime/kernels/avx512/matmul_inl.h"

namespace {

// d 16 x f16, sixteen int8 scales, eight blocks of (bits 4 and 5: 128 bytes, nibbles).
struct Q6_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ6_K;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 32 + 256 + 8 * 384;
  struct Group {
    __m512 d;
  };
  static Group Open(const uint8_t* group) { return {HalvesToFloat(group)}; }
  static void Block(const uint8_t* group, const Group& g, int b, Weights& w) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m128i scales =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(group + 32 + 16 * (2 * b + half)));
      w.scale[half] = _mm512_mul_ps(g.d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scales)));
    }
    const uint8_t* block = group + 288 + 384 * b;
    LoadNibbles(block + 128, w.codes);
    const __m512i high0 = _mm512_loadu_si512(block), high1 = _mm512_loadu_si512(block + 64);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      w.codes[i] = _mm512_or_si512(w.codes[i], TwoBits<4>(high0, i));
      w.codes[i + 4] = _mm512_or_si512(w.codes[i + 4], TwoBits<4>(high1, i));
    }
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kQ6_KKernels = MakeKernels<Q6_K>();
}
