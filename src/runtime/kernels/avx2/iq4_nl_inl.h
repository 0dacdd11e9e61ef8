#pragma once

#include "runtime/kernels/avx2/blocks_inl.h"

namespace {

// d 16 x f16, nibbles that index sixteen levels (kIq4NlLevels).
struct Iq4Nl {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kIQ4_NL;
  static constexpr int kCodeBits = 8;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 32 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, int rows, Weights& w) {
    const __m256i levels = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    w.scale[0] = HalvesToFloat(group, rows);
    LoadNibbles(group + 32, rows, w.codes);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) w.codes[g] = _mm256_shuffle_epi8(levels, w.codes[g]);
  }
};

}  // namespace
