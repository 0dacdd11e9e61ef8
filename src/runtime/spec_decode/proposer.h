#pragma once
// A proposer guesses the tokens that follow a sequence; the base model checks the guesses in one
// pass, so a wrong guess costs time and never changes the text.
// Threads: a proposer belongs to the engine's thread.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/sampling/sampler.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

// Tokens that a sequence may be behind a draft and still have guesses in the same pass; more are
// computed in passes of their own.
inline constexpr size_t kMaxBeside = 8;

// What a guess costs before it can be judged.
struct DraftCost {
  double pass_ms = 0;   // of the draft's pass that works it out
  int num_sharing = 1;  // sequences that the pass guesses for at once, each paying its part
  // Of what the draft has to compute once before it can guess at all: the whole rest of the answer
  // pays for it.
  double once_ms = 0;
};

// Decides, guess by guess, how many of a sequence's guesses are worth checking.
class DraftBudget {
 public:
  virtual ~DraftBudget() = default;
  // Whether to work out another guess.
  virtual bool WorthDrafting(const DraftCost& cost) = 0;
  // Time that went into this pass without a guess coming of it.
  virtual void Spent(double ms) = 0;
  // Whether the guess just worked out is worth checking; counts it if so.
  virtual bool Take(float confidence) = 0;
};

struct Proposal {
  uint64_t sequence = 0;            // names the sequence from call to call
  std::span<const TokenId> tokens;  // prompt and answer; the next token is to be guessed
  const SamplingOptions* sampling = nullptr;
  int max_draft = 0;
  DraftBudget* budget = nullptr;
  std::vector<TokenId> draft;  // out: guesses that the budget took, in order
};

// What a pass of the base computed of a sequence.
struct ObservedSlice {
  uint64_t sequence = 0;
  int start = 0;      // position of its first token
  int count = 0;      // guesses among them may prove wrong: then a later slice starts among them
  int first_row = 0;  // of the pass, for Decoder::tap
};

class Proposer {
 public:
  virtual ~Proposer() = default;
  virtual std::string_view name() const = 0;
  // KV memory of its own for each block of the base's, which hold the same tokens; 0: none.
  virtual int64_t kv_bytes_per_block() const { return 0; }
  // Called once, before it is first asked for guesses. Errors: kResourceExhausted.
  virtual Status ReserveKv(int /*num_blocks*/) { return {}; }
  // Called after every pass of the base. For proposers that read its hidden states.
  virtual void Observe(std::span<const ObservedSlice> /*slices*/) {}
  // Fills in `draft` of those it has guesses for.
  virtual void Propose(std::span<Proposal*> proposals) = 0;
  // The sequence has ended (or will be computed again from its start).
  virtual void Forget(uint64_t sequence) = 0;
};

}  // namespace hearth
