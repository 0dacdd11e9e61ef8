#include "runtime/spec_decode/pass_costs.h"

#include <algorithm>
#include <limits>

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
  double expected = known;
  if (known == 0) {
    const bool is_first = std::ranges::none_of(ms_, [](double other) { return other > 0; });
    expected = is_first ? ms : Ms(num_tokens);
  }
  double gain = known > 0 ? kGain : 1;
  if (ms > kOutlier * expected) gain = kOutlierGain;
  // What was known is from a bad moment, as the first passes of a program are.
  if (ms * kOutlier < expected) gain = 1;
  known = expected + gain * (ms - expected);
}

double PassCosts::Ms(int num_tokens) const {
  const auto usual = [](int tokens) { return 1 + kUsualSlope * (tokens - 1); };
  int below = std::min(num_tokens, kMaxTokens), above = below;
  while (below > 0 && ms_[below] == 0) --below;
  while (above <= kMaxTokens && ms_[above] == 0) ++above;
  // No pass costs more than a larger one: where one did, it was measured at a worse moment.
  double most = std::numeric_limits<double>::infinity();
  for (int n = above; n <= kMaxTokens; ++n) {
    if (ms_[n] > 0) most = std::min(most, ms_[n]);
  }
  if (below == num_tokens) return most;
  if (above > kMaxTokens)
    return (below > 0 ? ms_[below] : 1) * usual(num_tokens) / usual(below > 0 ? below : 1);
  if (below == 0) return most * usual(num_tokens) / usual(above);
  const double least = std::min(ms_[below], most);
  return least + (most - least) * (num_tokens - below) / (above - below);
}

}  // namespace hearth
