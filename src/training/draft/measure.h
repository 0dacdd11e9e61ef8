#pragma once
// How good a draft is: against texts that its base wrote at temperature 0, how many of its guesses
// are the base's tokens. Exact without drafting token by token: guesses count only while all before
// them were right, and then what the draft has seen is the text itself.
// Threads: one at a time.

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "training/draft/draft.h"

namespace hearth::forge {

struct GreedyText {
  std::vector<int32_t> tokens;  // prompt and answer
  int64_t answer_begin = 0;
};

struct DraftQuality {
  int64_t texts = 0;
  int64_t tokens = 0;    // answers' tokens, but for each one's first, which no draft precedes
  double agreement = 0;  // of first guesses, at every place
  // [num_guesses]: the share of the (i+1)st guesses that are right where those before were.
  std::vector<double> right_after;
  // [num_guesses]: tokens per pass of the base with up to i+1 guesses each, its own token included,
  // walking through each answer as the runtime would.
  std::vector<double> tokens_per_verification;
};

// Errors: kInvalidArgument when there are no answers; those of torch.
Result<DraftQuality> MeasureDraft(const Decoder& base, const Draft& draft,
                                  const std::vector<GreedyText>& texts, int num_guesses = 5);

}  // namespace hearth::forge
