#pragma once
// Logarithm and exponential from IEEE additions and multiplications alone, so that every machine
// gets the same bits: the C library's own differ in the last place between versions and processors,
// and a sampled text must not.

#include <bit>
#include <cstdint>
#include <type_traits>

namespace hearth {

// Natural logarithm; relative error below 1e-15. Requires a positive normal number.
inline double PortableLog(double x) {
  constexpr double kLn2High =
      0x1.62e42fefa38p-1;  // the low bits are zero, so exponent * kLn2High is exact
  constexpr double kLn2Low = 0x1.ef35793c7673p-45;
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e00000000u;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  const int64_t exponent = static_cast<int64_t>(bits - kSqrtHalf) >> 52;
  const double mantissa =  // in [sqrt(1/2), sqrt(2))
      std::bit_cast<double>(bits - (static_cast<uint64_t>(exponent) << 52));
  // log(m) = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172: the series below ends at 0.172^24
  // / 25.
  const double s = (mantissa - 1.0) / (mantissa + 1.0);
  const double z = s * s;
  double series = 1.0 / 23.0;
  for (int odd = 21; odd >= 3; odd -= 2) series = series * z + 1.0 / odd;
  const double e = static_cast<double>(exponent);
  return e * kLn2High + (2.0 * s + (2.0 * s * z * series + e * kLn2Low));
}

// Four floats at once, in any register the compiler has for them (GCC and clang vector extensions).
// Loops over whole vocabularies say so explicitly, because the vectoriser gives up on a clamp.
using Float4 = float __attribute__((vector_size(16)));
using Int4 = int32_t __attribute__((vector_size(16)));
using Uint4 = uint32_t __attribute__((vector_size(16)));

// e^x for x in [-80, 0], relative error below 3e-7; anything below (and NaN) counts as -80,
// anything above as 0. The same bits for a float and for each lane of a Float4.
template <typename Float>
inline Float PortableExp(Float x) {
  using Bits = std::conditional_t<std::is_same_v<Float, float>, uint32_t, Uint4>;
  constexpr float kRound = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  const Float zero = {};
  const Float lowest = zero - 80.0f;
  x = x > lowest ? x : lowest;
  x = x < zero ? x : zero;
  const Float shifted = x * 1.44269504f + kRound;
  const Float n = shifted - kRound;
  const Float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;  // x - n ln2, |r| < 0.35
  Float p = r * (1.0f / 720.0f) + 1.0f / 120.0f;  // Taylor: the next term is below 1.3e-7
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // n sits in the low bits of `shifted`; moved to the exponent field it multiplies by 2^n.
  return std::bit_cast<Float>(std::bit_cast<Bits>(p) + (std::bit_cast<Bits>(shifted) << 23));
}

}  // namespace hearth
