#pragma once
// Finds the scale, or the scale and the minimum, with which a group of weights rounds to small
// integer codes at the least weighted squared error. Internal to this folder; pure functions.
//
// Given the codes, the best scale is a least-squares fit; given the scale, the best codes come from
// rounding. The searches try a grid of scales around the one that just spans the group's range, and
// fit and round in turn from there: rounding alone (without the grid) stops in poor local minima,
// above all with two or three bits.

#include <span>

namespace hearth {

inline constexpr int kMaxGroup = 32;  // weights in a group, at most

// The integer nearest to `value`, ties to even. Requires: |value| < 2^22.
inline float RoundToInteger(float value) {
  constexpr float kShift = 0x1.8p23f;  // adding it leaves no fraction bits
  return (value + kShift) - kShift;
}

// NaN becomes `low`: whatever a weight was, its code stays in range.
inline float Clamp(float value, float low, float high) {
  return value > low ? (value < high ? value : high) : low;
}

// The smallest exponent with max|x| * 2^-exponent < 1: weights scaled so are safe to square and to
// divide by. 0 for zeros.
int NormalizingExponent(std::span<const float> x);

// How much the error of each weight of a group counts: x^2 + mean(x^2). Large weights make large
// products; but by x^2 alone the small ones round to nothing and the plain error grows by several
// per cent.
void WeighGroup(std::span<const float> x, float* weights);

// x[k] ~ scale * code, code in [-half_range, half_range - 1]. The scale may be negative: it points
// the larger half of the range at the largest weight. 0 when all weights are zero. Requires: |x[k]|
// < 1, weights >= 0.
float FitScale(std::span<const float> x, const float* weights, int half_range);

// x[k] ~ scale * code - min, code in [0, max_code], scale >= 0 and min >= 0 as the formats store
// them. Requires: |x[k]| < 1, weights >= 0.
struct ScaleAndMin {
  float scale;
  float min;
};
ScaleAndMin FitScaleAndMin(std::span<const float> x, const float* weights, int max_code);

}  // namespace hearth
