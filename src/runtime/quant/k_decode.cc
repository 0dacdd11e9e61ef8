// K-quants to floats: super-blocks of 256 weights whose groups of 16 or 32 have small integer
// scales of their own.

#include "runtime/quant/block_codecs.h"
#include "runtime/quant/quant.h"

namespace hearth {
namespace {

int TwoBits(const uint8_t (&qs)[64], int k) {
  return (qs[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2)) & 3;
}

int FourBits(const uint8_t (&qs)[128], int k) {
  return (qs[k / 64 * 32 + k % 32] >> (k / 32 % 2 * 4)) & 15;
}

int HighBit(const uint8_t (&bits)[32], int k) { return (bits[k % 32] >> (k / 32)) & 1; }

}  // namespace

ScalesAndMins UnpackScalesAndMins(const uint8_t (&packed)[12]) {
  ScalesAndMins out;
  for (int j = 0; j < 4; ++j) {
    out.scales[j] = packed[j] & 63;
    out.mins[j] = packed[4 + j] & 63;
    out.scales[4 + j] = static_cast<uint8_t>((packed[8 + j] & 15) | (packed[j] >> 6) << 4);
    out.mins[4 + j] = static_cast<uint8_t>((packed[8 + j] >> 4) | (packed[4 + j] >> 6) << 4);
  }
  return out;
}

void PackScalesAndMins(const ScalesAndMins& values, uint8_t (&packed)[12]) {
  const auto& [scales, mins] = values;
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<uint8_t>(scales[j] | (scales[4 + j] >> 4) << 6);
    packed[4 + j] = static_cast<uint8_t>(mins[j] | (mins[4 + j] >> 4) << 6);
    packed[8 + j] = static_cast<uint8_t>((scales[4 + j] & 15) | (mins[4 + j] & 15) << 4);
  }
}

void UnpackQ3Scales(const uint8_t (&packed)[12], uint8_t (&scales)[16]) {
  for (int j = 0; j < 16; ++j) {
    const int low = (packed[j % 8] >> (j / 8 * 4)) & 15;
    const int high = (packed[8 + j % 4] >> (j / 4 * 2)) & 3;
    scales[j] = static_cast<uint8_t>(low | high << 4);
  }
}

void PackQ3Scales(const uint8_t (&scales)[16], uint8_t (&packed)[12]) {
  for (uint8_t& byte : packed) byte = 0;
  for (int j = 0; j < 16; ++j) {
    packed[j % 8] |= static_cast<uint8_t>((scales[j] & 15) << (j / 8 * 4));
    packed[8 + j % 4] |= static_cast<uint8_t>((scales[j] >> 4) << (j / 4 * 2));
  }
}

void DecodeBlock(const Q2_KBlock& block, float* values) {
  const float d = HalfToFloat(block.d), m = HalfToFloat(block.m);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(block.scales[group] & 15);
    const float min = m * static_cast<float>(block.scales[group] >> 4);
    for (int k = group * 16; k < group * 16 + 16; ++k) {
      values[k] = scale * static_cast<float>(TwoBits(block.qs, k)) - min;
    }
  }
}

void DecodeBlock(const Q3_KBlock& block, float* values) {
  const float d = HalfToFloat(block.d);
  uint8_t scales[16];
  UnpackQ3Scales(block.scales, scales);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(scales[group] - 32);
    for (int k = group * 16; k < group * 16 + 16; ++k) {
      const int code = TwoBits(block.qs, k) | HighBit(block.hmask, k) << 2;
      values[k] = scale * static_cast<float>(code - 4);
    }
  }
}

void DecodeBlock(const Q4_KBlock& block, float* values) {
  const float d = HalfToFloat(block.d), m = HalfToFloat(block.m);
  const ScalesAndMins small = UnpackScalesAndMins(block.scales);
  for (int group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(small.scales[group]);
    const float min = m * static_cast<float>(small.mins[group]);
    for (int k = group * 32; k < group * 32 + 32; ++k) {
      values[k] = scale * static_cast<float>(FourBits(block.qs, k)) - min;
    }
  }
}

void DecodeBlock(const Q5_KBlock& block, float* values) {
  const float d = HalfToFloat(block.d), m = HalfToFloat(block.m);
  const ScalesAndMins small = UnpackScalesAndMins(block.scales);
  for (int group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(small.scales[group]);
    const float min = m * static_cast<float>(small.mins[group]);
    for (int k = group * 32; k < group * 32 + 32; ++k) {
      const int code = FourBits(block.qs, k) | HighBit(block.qh, k) << 4;
      values[k] = scale * static_cast<float>(code) - min;
    }
  }
}

void DecodeBlock(const Q6_KBlock& block, float* values) {
  const float d = HalfToFloat(block.d);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(block.scales[group]);
    for (int k = group * 16; k < group * 16 + 16; ++k) {
      const int low = (block.ql[k / 128 * 64 + k % 64] >> (k % 128 / 64 * 4)) & 15;
      const int high = (block.qh[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2)) & 3;
      values[k] = scale * static_cast<float>((low | high << 4) - 32);
    }
  }
}

}  // namespace hearth
