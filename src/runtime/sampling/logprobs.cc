#include "runtime/sampling/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hearth {

void LogprobReader::Fill(std::span<const float> logits, int num_top, SampledToken& token) {
  constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();
  token.top.clear();
  token.logprob = kNegativeInfinity;
  ScanMaxima(logits, maxima_);
  if (!std::isfinite(maxima_.max)) return;

  const double log_sum = LogSumExp(logits, maxima_.max);
  auto logprob = [&](float logit) {
    if (std::isnan(logit)) return kNegativeInfinity;
    // A sum rounded down may not make a probability above one.
    return std::min(0.0f, static_cast<float>(static_cast<double>(logit) - log_sum));
  };
  token.logprob = logprob(logits[static_cast<size_t>(token.id)]);
  CollectTopK(logits, maxima_, num_top, block_scratch_, candidates_);
  std::sort(candidates_.begin(), candidates_.end(), MoreLikely);
  for (const Candidate& candidate : candidates_) {
    token.top.push_back({candidate.id, logprob(candidate.logit)});
  }
}

}  // namespace hearth
