#include "runtime/engine/prefill_pacer.h"

#include <algorithm>

namespace hearth {
namespace {

constexpr double kGain = 0.3;
// A pass that was held up by a neighbour says little about the next.
constexpr double kOutlier = 2;
// Passes over fewer prompt tokens tell nothing of what one costs.
constexpr int kFewestMeasured = 16;
// Of a pass's time, what its prompt tokens took at least: what was measured of decoding is old when
// it says less.
constexpr double kLeastPart = 0.1;

void Learn(double sample, double* known) {
  *known = *known == 0 ? sample : *known + kGain * (std::min(sample, kOutlier * *known) - *known);
}

}  // namespace

void PrefillPacer::Record(int num_decodes, int num_prompt_tokens, double ms) {
  if (!(ms > 0)) return;
  if (num_prompt_tokens == 0) return Learn(ms, &decode_ms_);
  if (num_prompt_tokens < kFewestMeasured) return;
  const double decode_ms = num_decodes > 0 ? decode_ms_ : 0;
  Learn(std::max(ms - decode_ms, kLeastPart * ms) / num_prompt_tokens, &token_ms_);
}

int PrefillPacer::TokensWithin(double ms) const {
  if (token_ms_ == 0) return kUnmeasured;
  const double tokens = (ms - decode_ms_) / token_ms_;
  return static_cast<int>(std::clamp(tokens, static_cast<double>(kFewest), 1e6));
}

}  // namespace hearth
