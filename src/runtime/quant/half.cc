// IEEE binary16 and bfloat16 conversions in integer arithmetic, so that every machine gives the
// same bits.

#include <bit>

#include "runtime/quant/quant.h"

namespace hearth {
namespace {

constexpr uint32_t kFloatInfinity = 0x7f800000;
constexpr uint32_t kExponentRebias = (127 - 15)
                                     << 23;  // binary16's exponent bias is 15, binary32's 127

}  // namespace

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 31;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 31) {
    const uint32_t quiet = mantissa != 0 ? 0x00400000 : 0;
    return std::bit_cast<float>(sign | kFloatInfinity | quiet | (mantissa << 13));
  }
  if (exponent == 0) {  // zero or subnormal: mantissa units of 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | ((exponent << 23) + kExponentRebias) | (mantissa << 13));
}

uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  uint32_t half;
  if (magnitude > kFloatInfinity) {
    half = 0x7e00 | ((magnitude >> 13) & 0x3ff);
  } else if (magnitude >=
             std::bit_cast<uint32_t>(65520.0f)) {  // halfway between the largest half and 2^16
    half = 0x7c00;
  } else if (magnitude < std::bit_cast<uint32_t>(0x1p-14f)) {
    // The unit of [0.5, 1) in binary32 is binary16's subnormal unit, 2^-24: the addition rounds for
    // us.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    half = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f);
  } else {
    const uint32_t to_even = (magnitude >> 13) & 1;
    half = (magnitude - kExponentRebias + 0xfff + to_even) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

float Bfloat16ToFloat(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

uint16_t FloatToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > kFloatInfinity) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace hearth
