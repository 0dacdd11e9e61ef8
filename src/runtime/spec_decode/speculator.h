#pragma once
// Speculative decoding: asks the proposers for guesses and decides how many are worth a place in
// the next pass, from what passes and guesses cost and from how often guesses were right. The base
// checks every guess with its own sampler, and sampling noise is a function of seed and position,
// so the text is the one of plain decoding, token by token; only the time depends on what is
// decided here. Source: Leviathan et al. 2023 (arXiv 2211.17192) for the scheme; exactness by
// shared noise as in docs/decisions/sampling_noise.md. Threads: belongs to the engine's thread.

#include <memory>
#include <unordered_map>
#include <vector>

#include "runtime/spec_decode/acceptance.h"
#include "runtime/spec_decode/pass_costs.h"
#include "runtime/spec_decode/proposer.h"

namespace hearth {

// A decoding sequence before a pass.
struct DraftRequest {
  uint64_t sequence = 0;
  std::span<const TokenId> tokens;
  const SamplingOptions* sampling = nullptr;
  int max_draft = 0;           // room in context, answer and KV cache
  int num_left = 1 << 20;      // tokens that the answer may still have
  std::vector<TokenId> draft;  // out
};

class Speculator {
 public:
  struct Options {
    int max_draft = 5;
    bool adaptive = true;  // false: always max_draft, for measurements
  };

  explicit Speculator(const Options& options) : options_(options) {}
  // Asked in the order of adding; the first that has a guess for a sequence guesses for it.
  void Add(std::unique_ptr<Proposer> proposer);

  // What the proposers keep of their own for each block of the base's KV cache, and room for it.
  // Errors: kResourceExhausted.
  int64_t kv_bytes_per_block() const;
  Status ReserveKv(int num_blocks);

  // Fills in the drafts for a pass that decodes these sequences and nothing else.
  void Draft(std::span<DraftRequest> requests);
  // Every pass of the base, prompts included.
  void Observe(std::span<const ObservedSlice> slices);
  // The pass was run: `num_tokens` in all, in `ms` without the drafting.
  void PassTook(int num_tokens, double ms) { costs_.Record(num_tokens, ms); }
  // Of a sequence's guesses in the last pass the first `num_accepted` were right; `rejected`: the
  // next was checked and wrong (an answer that ended leaves the rest unchecked).
  void Verified(uint64_t sequence, int num_accepted, bool rejected);
  void Forget(uint64_t sequence);

  const PassCosts& costs() const { return costs_; }

 private:
  class Budget;
  struct Source {
    std::unique_ptr<Proposer> proposer;
    Acceptance acceptance;
    double mean_acceptance = 0.7;  // of any guess, where a sequence begins
    uint64_t num_passes = 0;       // it was asked before
  };
  struct Guess {
    float confidence;
    double probability;  // of being right, as the source's others are
  };
  struct OfSource {
    double mean_acceptance = 0;
    OwnAcceptance acceptance;
  };
  struct Sequence {
    int source = -1;             // that guessed in the last pass
    std::vector<Guess> guesses;  // of it
    std::vector<OfSource> of_source;
  };
  // Of the pass being planned.
  struct Plan {
    int num_tokens = 0;
    double expected_tokens = 0;
    double draft_ms = 0;
  };

  Sequence& StateOf(uint64_t sequence);

  Options options_;
  std::vector<Source> sources_;
  PassCosts costs_;
  Plan plan_;
  std::unordered_map<uint64_t, Sequence> sequences_;
};

}  // namespace hearth
