#include "runtime/quant/scale_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hearth {
namespace {

constexpr int kMaxRefinements =
    4;  // fit-and-round turns from one start; they settle after two or three

// The codes' sums that decide a least-squares fit of a scale.
struct ScaleSums {
  float xc = 0;  // sum of weight * x * code
  float cc = 0;  // sum of weight * code * code
  // How much of sum(weight * x^2) the best scale explains: the larger, the smaller the error.
  float gain() const { return cc > 0 ? xc * xc / cc : 0; }
  float scale() const { return cc > 0 ? xc / cc : 0; }
};

ScaleSums SumsAt(std::span<const float> x, const float* weights, float inverse_scale,
                 float half_range) {
  ScaleSums sums;
  for (size_t k = 0; k < x.size(); ++k) {
    const float code = Clamp(RoundToInteger(x[k] * inverse_scale), -half_range, half_range - 1);
    const float weighted = weights[k] * code;
    sums.xc += weighted * x[k];
    sums.cc += weighted * code;
  }
  return sums;
}

struct AffineFit {
  float scale = 0;
  float base = 0;  // -min: at most 0
  float error = 0;
};

// Rounds with the given scale and base, then fits both to the codes. The error is the rounded
// codes' under the new fit.
AffineFit RoundAndFit(std::span<const float> x, const float* weights, float max_code,
                      float inverse_scale, float base, float sum_w, float sum_x) {
  float codes[kMaxGroup];
  float sum_c = 0, sum_cc = 0, sum_xc = 0;
  for (size_t k = 0; k < x.size(); ++k) {
    codes[k] = Clamp(RoundToInteger((x[k] - base) * inverse_scale), 0, max_code);
    const float weighted = weights[k] * codes[k];
    sum_c += weighted;
    sum_cc += weighted * codes[k];
    sum_xc += weighted * x[k];
  }
  AffineFit fit;
  const float determinant = sum_w * sum_cc - sum_c * sum_c;
  if (determinant > 0) {
    fit.scale = (sum_w * sum_xc - sum_x * sum_c) / determinant;
    fit.base = (sum_cc * sum_x - sum_c * sum_xc) / determinant;
  }
  if (determinant <= 0 || fit.base > 0) {
    fit.base = 0;
    fit.scale = sum_cc > 0 ? sum_xc / sum_cc : 0;
  }
  fit.scale = std::max(fit.scale, 0.0f);
  for (size_t k = 0; k < x.size(); ++k) {
    const float difference = fit.scale * codes[k] + fit.base - x[k];
    fit.error += weights[k] * difference * difference;
  }
  return fit;
}

}  // namespace

int NormalizingExponent(std::span<const float> x) {
  float largest = 0;
  for (const float value : x) largest = std::max(largest, std::fabs(value));
  int exponent = 0;
  std::frexp(largest, &exponent);
  return exponent;
}

void WeighGroup(std::span<const float> x, float* weights) {
  float square = 0;
  for (const float value : x) square += value * value;
  const float mean_square = square / static_cast<float>(x.size());
  for (size_t k = 0; k < x.size(); ++k) weights[k] = x[k] * x[k] + mean_square;
}

float FitScale(std::span<const float> x, const float* weights, int half_range) {
  float extreme = 0;
  for (const float value : x) {
    if (std::fabs(value) > std::fabs(extreme)) extreme = value;
  }
  // Below 2^-20 of the super-block's largest weight no format has a scale that is not zero.
  if (std::fabs(extreme) < 0x1p-20f) return 0;

  const auto half = static_cast<float>(half_range);
  // The extreme weight at the end of the longer half of the range (negative codes), or of the
  // shorter.
  const float spans[] = {-half, half - 1};
  ScaleSums best;
  for (const float span : spans) {
    for (int step = -10; step <= 10; ++step) {
      const float target = span + 0.1f * static_cast<float>(step);
      const ScaleSums sums = SumsAt(x, weights, target / extreme, half);
      if (sums.gain() > best.gain()) best = sums;
    }
  }
  for (int turn = 0; turn < kMaxRefinements && best.scale() != 0; ++turn) {
    const ScaleSums sums = SumsAt(x, weights, 1 / best.scale(), half);
    if (sums.gain() <= best.gain()) break;
    best = sums;
  }
  return best.scale();
}

ScaleAndMin FitScaleAndMin(std::span<const float> x, const float* weights, int max_code) {
  float low = 0, high = x[0];  // codes start at 0, so that the base is never above zero
  float sum_w = 0, sum_x = 0;
  for (size_t k = 0; k < x.size(); ++k) {
    low = std::min(low, x[k]);
    high = std::max(high, x[k]);
    sum_w += weights[k];
    sum_x += weights[k] * x[k];
  }
  const float range = high - low;
  if (range < 0x1p-20f) return {0, -low};

  const auto max = static_cast<float>(max_code);
  AffineFit best;
  bool have_best = false;
  for (int step = -10; step <= 10; ++step) {
    const float inverse = (max + 0.1f * static_cast<float>(step)) / range;
    const AffineFit fit = RoundAndFit(x, weights, max, inverse, low, sum_w, sum_x);
    if (!have_best || fit.error < best.error) best = fit;
    have_best = true;
  }
  for (int turn = 0; turn < kMaxRefinements && best.scale > 0; ++turn) {
    const AffineFit fit = RoundAndFit(x, weights, max, 1 / best.scale, best.base, sum_w, sum_x);
    if (fit.error >= best.error) break;
    best = fit;
  }
  return {best.scale, -best.base};
}

}  // namespace hearth
