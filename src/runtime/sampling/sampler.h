#pragma once
// Chooses the next token from logits. Processors run first, in this order:
//   1. logit_bias            added to the logit
//   2. repetition_penalty    once per token of prompt or answer: a positive logit is divided by it,
//   another multiplied
//   3. presence, frequency   logit -= presence + frequency * (times the token stands in the answer
//   so far)
//   4. temperature           logit / temperature; 0 takes the largest logit here and skips the rest
//   5. top_k                 the k most likely remain
//   6. top_p                 of those, the fewest most likely whose probabilities sum to top_p,
//   always at least one
//   7. min_p                 of those, the ones at least min_p times as likely as the most likely
// Equal logits are ordered by token id wherever order matters. Then Gumbel noise drawn from (seed,
// choice, position, token id) is added to the surviving logits and the maximum wins. That is exact
// sampling from their softmax, and it depends on nothing but those four numbers: the same seed
// gives the same text, alone or in a batch, with or without speculation, and on every machine that
// computes the same logits. Threads: a Sampler is one sequence's own, one thread at a time.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "runtime/sampling/logit_scan.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

class LogprobReader;

struct SamplingOptions {
  float temperature = 1.0f;         // 0: greedy
  int top_k = 0;                    // 0: off
  float top_p = 1.0f;               // 1: off
  float min_p = 0.0f;               // 0: off; relative to the most likely token
  float repetition_penalty = 1.0f;  // over prompt and answer (CTRL, Keskar et al. 2019); 1: off
  float presence_penalty = 0.0f;    // over the answer, as OpenAI defines it
  float frequency_penalty = 0.0f;   // likewise
  std::map<TokenId, float> logit_bias;
  uint64_t seed = 0;
  int choice = 0;  // index among a request's n choices
  int num_top_logprobs =
      -1;  // -1: none wanted; 0: of the chosen token alone; n: of the n most likely too
};

// Errors: kInvalidArgument naming the field and its value: anything not finite (a bias of -infinity
// is allowed: never this token), negative temperature or top_k, top_p outside (0, 1], min_p outside
// [0, 1], a repetition penalty that is not positive, presence or frequency penalties or biases
// beyond +-1000, a bias for a token outside the vocabulary.
Status ValidateSamplingOptions(const SamplingOptions& options, int vocab_size);

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;
};

struct SampledToken {
  TokenId id = 0;
  float logprob = 0;  // natural log, of the model's own distribution (temperature 1, before
                      // processors); computed only when asked for
  std::vector<TokenLogprob> top;  // most likely first
};

// Uniform in (0, 1), the same on every machine. The generator is in noise.h.
double NoiseUniform(uint64_t seed, uint32_t choice, uint64_t position, uint32_t token_id);

class Sampler {
 public:
  // Requires: options that ValidateSamplingOptions accepts. `prompt` counts for the repetition
  // penalty; ids in it outside the vocabulary are passed over.
  Sampler(SamplingOptions options, int vocab_size, std::span<const TokenId> prompt);
  ~Sampler();
  Sampler(Sampler&& other) noexcept;
  Sampler& operator=(Sampler&& other) noexcept;

  // `logits` [vocab_size] as the model gave them; they are not changed. `position` is the index in
  // the sequence (prompt included) that the new token will take. Does not record the token.
  // -infinity rules a token out. NaN (a broken model file can cause it) is never chosen; if no
  // logit is finite, token 0 is.
  SampledToken Sample(std::span<const float> logits, int64_t position);
  // Records a token of the answer for the penalties.
  void Accept(TokenId id);

  const SamplingOptions& options() const { return options_; }

 private:
  void MarkSeen(TokenId id);
  std::span<const float> Penalised(std::span<const float> logits);
  TokenId Draw(std::span<const float> logits, int64_t position);
  void CollectForTopP(std::span<const float> logits, int64_t wanted, int64_t total);
  void KeepWeight(int64_t wanted_weight);
  int64_t WeighCandidates();
  float MinPThreshold() const;

  SamplingOptions options_;
  int vocab_size_;
  float inverse_temperature_ = 0;  // capped, so that 0 times it is 0
  std::map<TokenId, int> answer_counts_;
  std::vector<bool> seen_;  // tokens of prompt and answer; empty unless repetition_penalty is on
  std::vector<TokenId> seen_ids_;  // the same, each once
  std::vector<float> processed_;   // logits after bias and penalties
  LogitMaxima maxima_;
  std::vector<float> block_scratch_;
  std::vector<Candidate> candidates_;
  std::unique_ptr<LogprobReader> logprobs_;  // null unless log-probabilities are wanted
};

}  // namespace hearth
