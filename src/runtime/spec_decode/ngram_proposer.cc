#include "runtime/spec_decode/ngram_proposer.h"

#include <algorithm>

namespace hearth {
namespace {

uint64_t HashOf(std::span<const TokenId> tokens) {
  uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const TokenId token : tokens) {
    hash = (hash ^ static_cast<uint64_t>(token)) * 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  }
  return hash;
}

// Tokens before `end` that equal those at the end of `tokens`.
int MatchLength(std::span<const TokenId> tokens, size_t end, int most) {
  int length = 0;
  while (length < most && static_cast<size_t>(length) < end &&
         tokens[end - 1 - length] == tokens[tokens.size() - 1 - length]) {
    ++length;
  }
  return length;
}

// By experience: a match of three is right every other time, a long one nearly always.
float ConfidenceOf(int match) { return 1.0f - 1.5f / static_cast<float>(match); }

}  // namespace

void NgramProposer::Propose(std::span<Proposal*> proposals) {
  for (Proposal* proposal : proposals) {
    const std::span<const TokenId> tokens = proposal->tokens;
    if (tokens.size() <= kKey) continue;
    Sequence& sequence = sequences_[proposal->sequence];
    // The n-gram at the very end has no token after it yet.
    for (size_t end = std::max<size_t>(sequence.num_indexed, kKey); end < tokens.size(); ++end)
      sequence.follows[HashOf(tokens.subspan(end - kKey, kKey))] = end;
    sequence.num_indexed = tokens.size();

    const auto found = sequence.follows.find(HashOf(tokens.last(kKey)));
    if (found == sequence.follows.end()) continue;
    const size_t from = found->second;
    int match = MatchLength(tokens, from, kMaxMatch);
    if (match < kKey) continue;  // another n-gram with the same hash
    for (size_t at = from;
         at < tokens.size() && static_cast<int>(proposal->draft.size()) < proposal->max_draft;
         ++at) {
      if (!proposal->budget->Take(ConfidenceOf(match))) break;
      proposal->draft.push_back(tokens[at]);
      match = std::min(match + 1, kMaxMatch);
    }
  }
}

}  // namespace hearth
