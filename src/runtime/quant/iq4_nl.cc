// IQ4_NL: one scale per 32 weights and sixteen uneven levels, dense near zero where most weights
// lie.

#include <cmath>

#include "runtime/quant/block_codecs.h"
#include "runtime/quant/quant.h"
#include "runtime/quant/scale_search.h"

namespace hearth {

const int8_t kIq4NlLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                 1,    13,   25,  38,  53,  69,  89,  113};

namespace {

// The level nearest to a value in units of the scale. Levels lie more than two apart, so that at
// most one midpoint between neighbours falls into a unit interval: its lower candidate comes from a
// table, one comparison decides.
struct LevelTable {
  float midpoint[16];      // between level i and i + 1; the last is never passed
  uint8_t candidate[256];  // for values in [i - 128, i - 127)
  LevelTable() {
    for (int i = 0; i < 16; ++i) {
      midpoint[i] = i < 15 ? static_cast<float>(kIq4NlLevels[i] + kIq4NlLevels[i + 1]) / 2 : 128.0f;
    }
    uint8_t level = 0;
    for (int i = 0; i < 256; ++i) {
      while (midpoint[level] <= static_cast<float>(i - 128)) ++level;
      candidate[i] = level;
    }
  }
  int Nearest(float value) const {
    const float inside = Clamp(value, -127.0f, 127.0f);
    const int candidate_level = candidate[static_cast<int>(inside + 128.0f)];
    return candidate_level + (inside > midpoint[candidate_level] ? 1 : 0);
  }
};

const LevelTable& Levels() {
  static const LevelTable table;
  return table;
}

struct Fit {
  float gain = 0;  // what the scale explains of sum(weight * x^2)
  float scale = 0;
};

Fit FitAt(const LevelTable& levels, const float* x, const float* weights, float inverse_scale) {
  float sum_xl = 0, sum_ll = 0;
  for (int k = 0; k < kSmallBlock; ++k) {
    const auto level = static_cast<float>(kIq4NlLevels[levels.Nearest(x[k] * inverse_scale)]);
    sum_xl += weights[k] * x[k] * level;
    sum_ll += weights[k] * level * level;
  }
  return sum_ll > 0 ? Fit{sum_xl * sum_xl / sum_ll, sum_xl / sum_ll} : Fit{};
}

float BestScale(const LevelTable& levels, const float* x, const float* weights) {
  float extreme = 0;
  for (int k = 0; k < kSmallBlock; ++k) {
    if (std::fabs(x[k]) > std::fabs(extreme)) extreme = x[k];
  }
  if (extreme == 0) return 0;
  Fit best;
  for (const float span : {-127.0f, 113.0f}) {  // the extreme weight near either end of the levels
    for (int step = -10; step <= 10; ++step) {
      const float target = span + 1.5f * static_cast<float>(step);
      const Fit fit = FitAt(levels, x, weights, target / extreme);
      if (fit.gain > best.gain) best = fit;
    }
  }
  for (int turn = 0; turn < 4 && best.scale != 0; ++turn) {
    const Fit fit = FitAt(levels, x, weights, 1 / best.scale);
    if (fit.gain <= best.gain) break;
    best = fit;
  }
  return best.scale;
}

}  // namespace

void DecodeBlock(const IQ4_NLBlock& block, float* values) {
  const float d = HalfToFloat(block.d);
  for (int k = 0; k < kSmallBlock; ++k) {
    const int code = k < 16 ? block.qs[k] & 15 : block.qs[k - 16] >> 4;
    values[k] = d * kIq4NlLevels[code];
  }
}

void EncodeBlock(const float* values, IQ4_NLBlock& block) {
  const LevelTable& levels = Levels();
  const int exponent = NormalizingExponent({values, kSmallBlock});
  float x[kSmallBlock], weights[kSmallBlock];
  for (int k = 0; k < kSmallBlock; ++k) x[k] = std::ldexp(values[k], -exponent);
  WeighGroup({x, kSmallBlock}, weights);
  constexpr float kLargestHalf = 65504;
  const float d = std::ldexp(BestScale(levels, x, weights), exponent);
  block = {};
  block.d = FloatToHalf(Clamp(d, -kLargestHalf, kLargestHalf));
  const float rounded = std::ldexp(HalfToFloat(block.d), -exponent);
  const float inverse = rounded != 0 ? 1 / rounded : 0;
  for (int k = 0; k < kSmallBlock; ++k) {
    block.qs[k % 16] |= static_cast<uint8_t>(levels.Nearest(x[k] * inverse) << (k / 16 * 4));
  }
}

}  // namespace hearth
