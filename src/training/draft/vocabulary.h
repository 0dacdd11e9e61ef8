#pragma once
// Which tokens a draft can guess: most of a vocabulary is hardly ever written, and its rows of the
// head are read for each guess. No torch. Threads: pure functions.

#include <cstdint>
#include <vector>

#include "training/data/token_store.h"

namespace hearth::forge {

// [vocab_size]: how often each is among the store's learned tokens.
std::vector<int64_t> CountLearnedTokens(const TokenStore& store, int64_t vocab_size);

struct DraftVocabulary {
  std::vector<int32_t> token_ids;  // ascending
  double coverage = 0;             // the share of the counted tokens that are among these
};

// The `size` most frequent (of equals the lower id), and before those the ones of `always` that
// occur at all: ends of turns. All tokens where size is 0 or beyond the vocabulary.
DraftVocabulary ChooseVocabulary(const std::vector<int64_t>& counts, int64_t size,
                                 const std::vector<int32_t>& always = {});

}  // namespace hearth::forge
