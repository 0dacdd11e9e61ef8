// The formats with one scale per 32 weights and evenly spaced levels: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
// Their encoders make no search; for weights whose scale is a finite binary16 they give the same
// bytes as ggml's quantize_row_*_ref.

#include <cfloat>
#include <cmath>

#include "runtime/quant/block_codecs.h"
#include "runtime/quant/quant.h"
#include "runtime/quant/scale_search.h"

namespace hearth {

namespace {

int LowCode(const uint8_t (&qs)[16], int k) { return k < 16 ? qs[k] & 15 : qs[k - 16] >> 4; }

int FiveBitCode(const uint8_t (&qs)[16], const uint8_t (&qh)[4], int k) {
  return LowCode(qs, k) | ((qh[k / 8] >> (k % 8)) & 1) << 4;
}

constexpr float kLargestHalf = 65504;

// 1 / d, or 0 for a d so small that the quotient is not finite (such a d is stored as zero anyway).
float Inverse(float d) {
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// Truncates, as the formats' reference does after adding a half.
uint8_t CodeOf(float shifted, int max_code) {
  return static_cast<uint8_t>(Clamp(shifted, 0.0f, static_cast<float>(max_code)));
}

// The scale that puts the weight of largest magnitude (the first of equals) on code 0, the far end
// of the longer half.
float SymmetricScale(const float* values, int half_codes) {
  float extreme = 0;
  for (int k = 0; k < 32; ++k) {
    if (std::fabs(values[k]) > std::fabs(extreme)) extreme = values[k];
  }
  return Clamp(extreme / static_cast<float>(-half_codes), -kLargestHalf, kLargestHalf);
}

struct ScaleAndBase {
  float d, m;
};

// The scale and base that span the block's range.
ScaleAndBase SpanningScale(const float* values, int max_code) {
  float low = FLT_MAX, high = -FLT_MAX;
  for (int k = 0; k < 32; ++k) {
    if (values[k] < low) low = values[k];
    if (values[k] > high) high = values[k];
  }
  const float d = (high - low) / static_cast<float>(max_code);
  return {Clamp(d, 0.0f, kLargestHalf), Clamp(low, -kLargestHalf, kLargestHalf)};
}

void PutNibbles(const uint8_t (&codes)[32], uint8_t (&qs)[16]) {
  for (int k = 0; k < 16; ++k) {
    qs[k] = static_cast<uint8_t>((codes[k] & 15) | (codes[k + 16] & 15) << 4);
  }
}

void PutFifthBits(const uint8_t (&codes)[32], uint8_t (&qh)[4]) {
  for (uint8_t& byte : qh) byte = 0;
  for (int k = 0; k < 32; ++k) qh[k / 8] |= static_cast<uint8_t>((codes[k] >> 4) << (k % 8));
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

void EncodeBlock(const float* values, Q4_0Block& block) {
  const float d = SymmetricScale(values, 8), inverse = Inverse(d);
  uint8_t codes[32];
  for (int k = 0; k < 32; ++k) codes[k] = CodeOf(values[k] * inverse + 8.5f, 15);
  block.d = FloatToHalf(d);
  PutNibbles(codes, block.qs);
}

void EncodeBlock(const float* values, Q4_1Block& block) {
  const auto [d, m] = SpanningScale(values, 15);
  const float inverse = Inverse(d);
  uint8_t codes[32];
  for (int k = 0; k < 32; ++k) codes[k] = CodeOf((values[k] - m) * inverse + 0.5f, 15);
  block.d = FloatToHalf(d);
  block.m = FloatToHalf(m);
  PutNibbles(codes, block.qs);
}

void EncodeBlock(const float* values, Q5_0Block& block) {
  const float d = SymmetricScale(values, 16), inverse = Inverse(d);
  uint8_t codes[32];
  for (int k = 0; k < 32; ++k) codes[k] = CodeOf(values[k] * inverse + 16.5f, 31);
  block.d = FloatToHalf(d);
  PutNibbles(codes, block.qs);
  PutFifthBits(codes, block.qh);
}

void EncodeBlock(const float* values, Q5_1Block& block) {
  const auto [d, m] = SpanningScale(values, 31);
  const float inverse = Inverse(d);
  uint8_t codes[32];
  for (int k = 0; k < 32; ++k) codes[k] = CodeOf((values[k] - m) * inverse + 0.5f, 31);
  block.d = FloatToHalf(d);
  block.m = FloatToHalf(m);
  PutNibbles(codes, block.qs);
  PutFifthBits(codes, block.qh);
}

void EncodeBlock(const float* values, Q8_0Block& block) {
  float largest = 0;
  for (int k = 0; k < 32; ++k) largest = std::fmax(largest, std::fabs(values[k]));
  const float d = Clamp(largest / 127, 0.0f, kLargestHalf), inverse = Inverse(d);
  block.d = FloatToHalf(d);
  for (int k = 0; k < 32; ++k) {
    block.qs[k] = static_cast<int8_t>(std::roundf(Clamp(values[k] * inverse, -127, 127)));
  }
}

}  // namespace hearth
