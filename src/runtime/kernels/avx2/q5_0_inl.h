#pragma once

#include "runtime/kernels/avx2/blocks_inl.h"

namespace {

// d 16 x f16, fifth bits 64 bytes, nibbles.
struct Q5_0 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ5_0;
  static constexpr int kCodeBits = 5;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 32 + 64 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, int rows, Weights& w) {
    w.scale[0] = HalvesToFloat(group, rows);
    LoadNibbles(group + 96, rows, w.codes);
    const __m256i high = LoadVector(group + 32 + 32 * rows);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) w.codes[g] = _mm256_or_si256(w.codes[g], OneBit<4>(high, g));
  }
};

}  // namespace
