#pragma once
// Passes over a whole vocabulary of logits: the maximum, the best few, sums of exponentials.
// Written so that the compiler vectorises them, and so that sums run in one fixed order on every
// machine. NaN logits are never chosen and weigh nothing.

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

inline constexpr int kLogitBlock = 64;  // tokens per block of LogitMaxima

struct Candidate {
  float logit = 0;
  TokenId id = 0;
  uint32_t weight = 0;  // FixedWeight, where somebody has set it
};

// Most likely first, equals by id: the one order of candidates, so that ties fall the same way
// everywhere.
inline bool MoreLikely(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// The maximum of each block of kLogitBlock logits and of all. Later passes visit only the blocks
// that can matter.
struct LogitMaxima {
  std::vector<float> blocks;
  float max = 0;       // -infinity when there is nothing but -inf and NaN
  TokenId argmax = 0;  // the lowest id that has it
};
// Requires at least one logit. `maxima` is overwritten; its memory is used again.
void ScanMaxima(std::span<const float> logits, LogitMaxima& maxima);

// The lowest id with the largest logit; 0 when there is nothing but -inf and NaN.
TokenId Argmax(std::span<const float> logits);

// All tokens with logit >= threshold, in order of id. `maxima` belongs to `logits`.
void CollectAtLeast(std::span<const float> logits, const LogitMaxima& maxima, float threshold,
                    std::vector<Candidate>& candidates);

// The k most likely tokens, in no order; fewer when fewer are above -infinity. `block_scratch` is
// overwritten.
void CollectTopK(std::span<const float> logits, const LogitMaxima& maxima, int k,
                 std::vector<float>& block_scratch, std::vector<Candidate>& candidates);

// exp((logit - max_logit) * inverse_temperature) as a fraction of 2^29. Integers, so that sums of
// them do not depend on their order.
uint32_t FixedWeight(float logit, float max_logit, float inverse_temperature);
// The sum of FixedWeight over all logits.
int64_t TotalFixedWeight(std::span<const float> logits, const LogitMaxima& maxima,
                         float inverse_temperature);

// log(sum(exp(logits))), to about 1e-7. Requires a finite `max_logit`, the largest of them.
double LogSumExp(std::span<const float> logits, float max_logit);

}  // namespace hearth
