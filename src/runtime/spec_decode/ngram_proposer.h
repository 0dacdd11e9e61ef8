#pragma once
// Guesses that what followed the last few tokens earlier in the prompt or the answer follows them
// again: costs next to nothing, and is right where text is copied or edited.
// Source: prompt lookup decoding (Saxena 2023),
// https://github.com/apoorvumang/prompt-lookup-decoding

#include <unordered_map>

#include "runtime/spec_decode/proposer.h"

namespace hearth {

class NgramProposer : public Proposer {
 public:
  static constexpr int kKey = 3;        // tokens that must match at least
  static constexpr int kMaxMatch = 16;  // a longer match makes no surer

  std::string_view name() const override { return "ngram"; }
  void Propose(std::span<Proposal*> proposals) override;
  void Forget(uint64_t sequence) override { sequences_.erase(sequence); }

 private:
  struct Sequence {
    size_t num_indexed = 0;  // tokens whose n-grams are in `follows`
    // hash of kKey tokens -> where the token after their latest occurrence stands
    std::unordered_map<uint64_t, size_t> follows;
  };
  std::unordered_map<uint64_t, Sequence> sequences_;
};

}  // namespace hearth
