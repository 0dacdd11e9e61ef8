#pragma once
// How a draft with a model of its own draws guesses: with the base's options and noise, from logits
// that may cover a part of the vocabulary. Threads: one at a time.

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "runtime/model/decoder.h"
#include "runtime/spec_decode/proposer.h"

namespace hearth {

// Logits of a draft's head, of one place at a time.
class DraftLogits {
 public:
  explicit DraftLogits(const Decoder& decoder);
  // Ids below this can be guessed.
  size_t num_tokens() const { return num_tokens_; }

  // A row of the head; both views of it are valid until the next one.
  void Set(const float* logits);
  std::span<const float> of_head() const { return head_; }  // in the head's order
  std::span<const float> by_id() const { return all_.empty() ? head_ : all_; }

 private:
  const Decoder& decoder_;
  size_t num_tokens_;
  std::span<const float> head_;
  std::vector<float> all_;  // where the head covers a part; the other tokens stay at -infinity
};

// Of one sequence.
class DraftSampler {
 public:
  // Follows the sequence: what its answer has gained since the last call counts for penalties.
  void Follow(const Proposal& proposal, size_t num_tokens);
  // The guess for the place `position` and how likely the draft holds it.
  std::pair<TokenId, float> Choose(const DraftLogits& logits, int64_t position);

 private:
  std::unique_ptr<Sampler> sampler_;
  size_t num_followed_ = 0;
};

}  // namespace hearth
