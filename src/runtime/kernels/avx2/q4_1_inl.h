#pragma once

#include "runtime/kernels/avx2/blocks_inl.h"

namespace {

// d 16 x f16, m 16 x f16, nibbles.
struct Q4_1 {
  static constexpr hearth::StripFormat kFormat = hearth::StripFormat::kQ4_1;
  static constexpr int kCodeBits = 4;
  static constexpr int kBlocks = 1;
  static constexpr int kGroupBytes = 64 + 256;
  struct Group {};
  static Group Open(const uint8_t*) { return {}; }
  static void Block(const uint8_t* group, const Group&, int, int rows, Weights& w) {
    w.scale[0] = HalvesToFloat(group, rows);
    w.min[0] = HalvesToFloat(group + 32, rows);
    LoadNibbles(group + 64, rows, w.codes);
  }
};

}  // namespace
