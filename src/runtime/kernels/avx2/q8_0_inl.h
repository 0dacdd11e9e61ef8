#pragma once

#include "runtime/kernels/avx2/blocks_inl.h"

namespace {

// d 16 x f16, codes + 128 as bytes.
struct Q8_0 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ8_0;
  static constexpr int kCodeBits = 8;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 32 + 512;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, int rows, Weights& w) {
    w.scale[0] = HalvesToFloat(group, rows);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) {
      w.codes[g] =
          _mm256_xor_si256(LoadVector(group + 32 + 64 * g + 32 * rows), _mm256_set1_epi8(-128));
    }
  }
};

}  // namespace
