// Floats to K-quants. Each group's own scale (and min) is searched first, then all of them are
// rounded to the format's small integers under a common d (and m), and d and m are fitted again to
// the codes that come out of it.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/quant/block_codecs.h"
#include "runtime/quant/quant.h"
#include "runtime/quant/scale_search.h"

namespace hearth {
namespace {

constexpr int kRounds =
    3;  // of rounding under (d, m) and fitting them again; the best round is kept

// A super-block scaled by a power of two to below 1, so that no square overflows or vanishes.
struct Normalized {
  float x[kSuperBlock];
  float weights[kSuperBlock];
  int exponent;

  // The binary16 nearest to value * 2^exponent, finite.
  uint16_t ToHalf(float value) const {
    constexpr float kLargest = 65504;
    return FloatToHalf(Clamp(std::ldexp(value, exponent), -kLargest, kLargest));
  }
  // The nearest one not smaller in magnitude: the d that just reaches the largest scale must not be
  // rounded below it. It matters where d is subnormal and its steps are coarse, as the d of Q6_K
  // usually is.
  uint16_t ToHalfReaching(float value) const {
    const uint16_t half = ToHalf(value);
    const bool short_of_it = std::fabs(FromHalf(half)) < std::fabs(value);
    const bool is_largest = (half & 0x7fff) == 0x7bff;
    return static_cast<uint16_t>(short_of_it && !is_largest ? half + 1 : half);
  }
  // What a half is worth in here.
  float FromHalf(uint16_t half) const { return std::ldexp(HalfToFloat(half), -exponent); }
};

template <int kGroup>
Normalized Normalize(const float* values) {
  Normalized out;
  out.exponent = NormalizingExponent({values, kSuperBlock});
  for (int k = 0; k < kSuperBlock; ++k) out.x[k] = std::ldexp(values[k], -out.exponent);
  for (int start = 0; start < kSuperBlock; start += kGroup) {
    WeighGroup({out.x + start, kGroup}, out.weights + start);
  }
  return out;
}

// What an encoder found, before its bits are put in place.
struct Encoded {
  uint16_t d = 0;
  uint16_t m = 0;
  int scales[16] = {};
  int mins[16] = {};
  int codes[kSuperBlock] = {};
  float error = 0;
};

// The best code of each weight of a group for x ~ scale * code - min, clamped to [low, high];
// returns the weighted error.
float RoundGroup(const float* x, const float* weights, int size, float scale, float min, int low,
                 int high, int* codes) {
  const float inverse = scale != 0 ? 1 / scale : 0;
  float error = 0;
  for (int k = 0; k < size; ++k) {
    // The clamp comes first: a tiny scale makes quotients that no integer holds.
    const float code = RoundToInteger(
        Clamp((x[k] + min) * inverse, static_cast<float>(low), static_cast<float>(high)));
    const float difference = scale * code - min - x[k];
    error += weights[k] * difference * difference;
    codes[k] = static_cast<int>(code);
  }
  return error;
}

int NearestInt(float value, int low, int high) {
  return static_cast<int>(
      RoundToInteger(Clamp(value, static_cast<float>(low), static_cast<float>(high))));
}

// Q3_K and Q6_K: x ~ d * scale * code, scale and code signed.
struct ScaledFormat {
  int group;       // weights per scale
  int half_codes;  // codes are [-half_codes, half_codes - 1]
  int half_scales;
};

Encoded EncodeScaled(const Normalized& in, const ScaledFormat& format) {
  const int num_groups = kSuperBlock / format.group;
  const int low = -format.half_scales, high = format.half_scales - 1;
  float fitted[16];
  float extreme = 0;
  for (int g = 0; g < num_groups; ++g) {
    const int start = g * format.group;
    fitted[g] = FitScale({in.x + start, static_cast<size_t>(format.group)}, in.weights + start,
                         format.half_codes);
    if (std::fabs(fitted[g]) > std::fabs(extreme)) extreme = fitted[g];
  }

  Encoded best;
  float d = extreme / static_cast<float>(low);
  for (int round = 0; round < kRounds; ++round) {
    Encoded now;
    now.d = round == 0 ? in.ToHalfReaching(d) : in.ToHalf(d);
    d = in.FromHalf(now.d);
    float sum_xa = 0, sum_aa = 0;  // a = scale * code: what d multiplies
    for (int g = 0; g < num_groups; ++g) {
      const float* x = in.x + g * format.group;
      const float* weights = in.weights + g * format.group;
      int* codes = now.codes + g * format.group;
      const int middle = d != 0 ? NearestInt(fitted[g] / d, low, high) : 0;
      float group_error = INFINITY;
      for (int scale = std::max(middle - 1, low); scale <= std::min(middle + 1, high); ++scale) {
        int trial[kMaxGroup];
        const float error = RoundGroup(x, weights, format.group, d * static_cast<float>(scale), 0,
                                       -format.half_codes, format.half_codes - 1, trial);
        if (error >= group_error) continue;
        group_error = error;
        now.scales[g] = scale;
        std::copy(trial, trial + format.group, codes);
      }
      now.error += group_error;
      for (int k = 0; k < format.group; ++k) {
        const auto a = static_cast<float>(now.scales[g] * codes[k]);
        sum_xa += weights[k] * x[k] * a;
        sum_aa += weights[k] * a * a;
      }
    }
    if (round == 0 || now.error < best.error) best = now;
    if (sum_aa <= 0) break;
    d = sum_xa / sum_aa;
  }
  return best;
}

// Q2_K, Q4_K and Q5_K: x ~ d * scale * code - m * min, nothing signed.
struct AffineFormat {
  int group;
  int max_code;
  int max_scale;  // of scales and mins
};

Encoded EncodeAffine(const Normalized& in, const AffineFormat& format) {
  const int num_groups = kSuperBlock / format.group;
  ScaleAndMin fitted[16];
  float d = 0, m = 0;
  for (int g = 0; g < num_groups; ++g) {
    const int start = g * format.group;
    fitted[g] = FitScaleAndMin({in.x + start, static_cast<size_t>(format.group)},
                               in.weights + start, format.max_code);
    d = std::max(d, fitted[g].scale / static_cast<float>(format.max_scale));
    m = std::max(m, fitted[g].min / static_cast<float>(format.max_scale));
  }

  Encoded best;
  for (int round = 0; round < kRounds; ++round) {
    Encoded now;
    now.d = round == 0 ? in.ToHalfReaching(d) : in.ToHalf(d);
    now.m = round == 0 ? in.ToHalfReaching(m) : in.ToHalf(m);
    d = in.FromHalf(now.d);
    m = in.FromHalf(now.m);
    // x ~ d * a - m * b with a = scale * code, b = min.
    float sum_aa = 0, sum_ab = 0, sum_bb = 0, sum_xa = 0, sum_xb = 0;
    for (int g = 0; g < num_groups; ++g) {
      const float* x = in.x + g * format.group;
      const float* weights = in.weights + g * format.group;
      int* codes = now.codes + g * format.group;
      const int scale_at = d != 0 ? NearestInt(fitted[g].scale / d, 0, format.max_scale) : 0;
      const int min_at = m != 0 ? NearestInt(fitted[g].min / m, 0, format.max_scale) : 0;
      float group_error = INFINITY;
      for (int scale = std::max(scale_at - 1, 0); scale <= std::min(scale_at + 1, format.max_scale);
           ++scale) {
        for (int min = std::max(min_at - 1, 0); min <= std::min(min_at + 1, format.max_scale);
             ++min) {
          int trial[kMaxGroup];
          const float error = RoundGroup(x, weights, format.group, d * static_cast<float>(scale),
                                         m * static_cast<float>(min), 0, format.max_code, trial);
          if (error >= group_error) continue;
          group_error = error;
          now.scales[g] = scale;
          now.mins[g] = min;
          std::copy(trial, trial + format.group, codes);
        }
      }
      now.error += group_error;
      const auto b = static_cast<float>(now.mins[g]);
      for (int k = 0; k < format.group; ++k) {
        const auto a = static_cast<float>(now.scales[g] * codes[k]);
        sum_aa += weights[k] * a * a;
        sum_ab += weights[k] * a * b;
        sum_bb += weights[k] * b * b;
        sum_xa += weights[k] * x[k] * a;
        sum_xb += weights[k] * x[k] * b;
      }
    }
    if (round == 0 || now.error < best.error) best = now;
    const float determinant = sum_aa * sum_bb - sum_ab * sum_ab;
    if (determinant > 0) {
      d = (sum_xa * sum_bb - sum_xb * sum_ab) / determinant;
      m = (sum_xa * sum_ab - sum_xb * sum_aa) / determinant;
      if (d <= 0 || m <= 0) break;
    } else if (sum_aa > 0 && sum_bb == 0) {
      d = sum_xa / sum_aa;
    } else {
      break;
    }
  }
  return best;
}

void PutTwoBits(const int* codes, uint8_t (&qs)[64]) {
  for (int k = 0; k < kSuperBlock; ++k) {
    qs[k / 128 * 32 + k % 32] |= static_cast<uint8_t>((codes[k] & 3) << (k % 128 / 32 * 2));
  }
}

void PutFourBits(const int* codes, uint8_t (&qs)[128]) {
  for (int k = 0; k < kSuperBlock; ++k) {
    qs[k / 64 * 32 + k % 32] |= static_cast<uint8_t>((codes[k] & 15) << (k / 32 % 2 * 4));
  }
}

void PutHighBit(const int* codes, int bit, uint8_t (&bits)[32]) {
  for (int k = 0; k < kSuperBlock; ++k) {
    bits[k % 32] |= static_cast<uint8_t>(((codes[k] >> bit) & 1) << (k / 32));
  }
}

ScalesAndMins SmallScales(const Encoded& encoded) {
  ScalesAndMins out;
  for (int g = 0; g < 8; ++g) {
    out.scales[g] = static_cast<uint8_t>(encoded.scales[g]);
    out.mins[g] = static_cast<uint8_t>(encoded.mins[g]);
  }
  return out;
}

}  // namespace

void EncodeBlock(const float* values, Q2_KBlock& block) {
  const Normalized in = Normalize<16>(values);
  const Encoded encoded = EncodeAffine(in, {.group = 16, .max_code = 3, .max_scale = 15});
  block = {};
  block.d = encoded.d;
  block.m = encoded.m;
  for (int g = 0; g < 16; ++g) {
    block.scales[g] = static_cast<uint8_t>(encoded.scales[g] | encoded.mins[g] << 4);
  }
  PutTwoBits(encoded.codes, block.qs);
}

void EncodeBlock(const float* values, Q3_KBlock& block) {
  const Normalized in = Normalize<16>(values);
  Encoded encoded = EncodeScaled(in, {.group = 16, .half_codes = 4, .half_scales = 32});
  block = {};
  block.d = encoded.d;
  uint8_t scales[16];
  for (int g = 0; g < 16; ++g) scales[g] = static_cast<uint8_t>(encoded.scales[g] + 32);
  PackQ3Scales(scales, block.scales);
  for (int& code : encoded.codes) code += 4;
  PutTwoBits(encoded.codes, block.qs);
  PutHighBit(encoded.codes, 2, block.hmask);
}

void EncodeBlock(const float* values, Q4_KBlock& block) {
  const Normalized in = Normalize<32>(values);
  const Encoded encoded = EncodeAffine(in, {.group = 32, .max_code = 15, .max_scale = 63});
  block = {};
  block.d = encoded.d;
  block.m = encoded.m;
  PackScalesAndMins(SmallScales(encoded), block.scales);
  PutFourBits(encoded.codes, block.qs);
}

void EncodeBlock(const float* values, Q5_KBlock& block) {
  const Normalized in = Normalize<32>(values);
  const Encoded encoded = EncodeAffine(in, {.group = 32, .max_code = 31, .max_scale = 63});
  block = {};
  block.d = encoded.d;
  block.m = encoded.m;
  PackScalesAndMins(SmallScales(encoded), block.scales);
  PutFourBits(encoded.codes, block.qs);
  PutHighBit(encoded.codes, 4, block.qh);
}

void EncodeBlock(const float* values, Q6_KBlock& block) {
  const Normalized in = Normalize<16>(values);
  Encoded encoded = EncodeScaled(in, {.group = 16, .half_codes = 32, .half_scales = 128});
  block = {};
  block.d = encoded.d;
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<int8_t>(encoded.scales[g]);
  for (int k = 0; k < kSuperBlock; ++k) {
    const int code = encoded.codes[k] + 32;
    block.ql[k / 128 * 64 + k % 64] |= static_cast<uint8_t>((code & 15) << (k % 128 / 64 * 4));
    block.qh[k / 128 * 32 + k % 32] |= static_cast<uint8_t>((code >> 4) << (k % 128 / 32 * 2));
  }
}

}  // namespace hearth
