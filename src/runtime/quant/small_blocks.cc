// The formats with one scale per 32 weights: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL.

#include "runtime/quant/block_codecs.h"
#include "runtime/quant/quant.h"

namespace hearth {

const int8_t kIq4NlLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                 1,    13,   25,  38,  53,  69,  89,  113};

namespace {

int LowCode(const uint8_t (&qs)[16], int k) { return k < 16 ? qs[k] & 15 : qs[k - 16] >> 4; }

int FiveBitCode(const uint8_t (&qs)[16], const uint8_t (&qh)[4], int k) {
  return LowCode(qs, k) | ((qh[k / 8] >> (k % 8)) & 1) << 4;
}

}  // namespace

void DecodeBlock(const Q4_0Block& block, float* values) {
  const float d = HalfToFloat(block.d);
  for (int k = 0; k < 32; ++k) values[k] = static_cast<float>(LowCode(block.qs, k) - 8) * d;
}

void DecodeBlock(const Q4_1Block& block, float* values) {
  const float d = HalfToFloat(block.d), m = HalfToFloat(block.m);
  for (int k = 0; k < 32; ++k) values[k] = static_cast<float>(LowCode(block.qs, k)) * d + m;
}

void DecodeBlock(const Q5_0Block& block, float* values) {
  const float d = HalfToFloat(block.d);
  for (int k = 0; k < 32; ++k) {
    values[k] = static_cast<float>(FiveBitCode(block.qs, block.qh, k) - 16) * d;
  }
}

void DecodeBlock(const Q5_1Block& block, float* values) {
  const float d = HalfToFloat(block.d), m = HalfToFloat(block.m);
  for (int k = 0; k < 32; ++k) {
    values[k] = static_cast<float>(FiveBitCode(block.qs, block.qh, k)) * d + m;
  }
}

void DecodeBlock(const Q8_0Block& block, float* values) {
  const float d = HalfToFloat(block.d);
  for (int k = 0; k < 32; ++k) values[k] = static_cast<float>(block.qs[k]) * d;
}

void DecodeBlock(const IQ4_NLBlock& block, float* values) {
  const float d = HalfToFloat(block.d);
  for (int k = 0; k < 32; ++k) values[k] = d * kIq4NlLevels[LowCode(block.qs, k)];
}

}  // namespace hearth
