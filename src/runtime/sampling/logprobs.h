#pragma once
// Log-probabilities of the model's own distribution: temperature 1, before any processor.

#include <span>
#include <vector>

#include "runtime/sampling/logit_scan.h"
#include "runtime/sampling/sampler.h"

namespace hearth {

// Fills in logprob and the `num_top` most likely tokens (most likely first, equals by id) for a
// token already chosen. A token the model rules out, and every token of a distribution that is not
// finite, gets -infinity. Threads: one at a time (it keeps its scratch memory between calls).
class LogprobReader {
 public:
  // Requires 0 <= token.id < logits.size().
  void Fill(std::span<const float> logits, int num_top, SampledToken& token);

 private:
  LogitMaxima maxima_;
  std::vector<float> block_scratch_;
  std::vector<Candidate> candidates_;
};

}  // namespace hearth
