#include "runtime/kernels/avx512/matmul_inl.h"
#include "runtime/kernels/avx512/six_bit.h"

namespace {

// d 16 x f16, dmin 16 x f16, eight scales and eight mins of 6 bits (192 bytes), eight blocks of
// nibbles.
struct Q4_K {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ4_K;
  static constexpr int kBlocks = 8;
  static constexpr int kGroupBytes = 64 + 192 + 8 * 256;
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
    LoadNibbles(group + 256 + 256 * b, w.codes);
  }
};

}  // namespace

namespace hearth::avx512 {
const FormatKernels kQ4_KKernels = MakeKernels<Q4_K>();
}
