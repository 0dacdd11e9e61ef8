#include "runtime/spec_decode/pass_costs.h"

#include <algorithm>

namespace hearth {
namespace {

// Part of a pass over one token that each further one costs where nothing is measured: between what
// memory-bound and what small models show.
constexpr double kUsualSlope = 0.1;
constexpr double kGain = 0.15;
// A pass that was held up by a neighbour says little about the next.
constexpr double kOutlierGain = 0.03;
constexpr double kOutlier = 1.5;

}  // namespace

void PassCosts::Record(int num_tokens, double ms) {
  if (num_tokens < 1 || num_tokens > kMaxTokens || !(ms > 0)) return;
  double& known = ms_[num_tokens];
  if (known == 0) {
    known = ms;
  } else {
    known += (ms > kOutlier * known ? kOutlierGain : kGain) * (ms - known);
  }
}

double PassCosts::Ms(int num_tokens) const {
  int below = std::min(num_tokens, kMaxTokens), above = below;
  while (below > 0 && ms_[below] == 0) --below;
  while (above <= kMaxTokens && ms_[above] == 0) ++above;
  if (below == num_tokens) return ms_[below];
  if (below > 0 && above <= kMaxTokens) {
    const double part = static_cast<double>(num_tokens - below) / (above - below);
    // A larger pass that was measured as the cheaper one was measured at a better moment.
    return ms_[below] + part * std::max(0.0, ms_[above] - ms_[below]);
  }
  if (below > 0) {
    return ms_[below] * (1 + kUsualSlope * (num_tokens - 1)) / (1 + kUsualSlope * (below - 1));
  }
  const double one = above <= kMaxTokens ? ms_[above] / (1 + kUsualSlope * (above - 1)) : 1;
  return one * (1 + kUsualSlope * (num_tokens - 1));
}

}  // namespace hearth
