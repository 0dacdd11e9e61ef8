#pragma once
// Chooses the next token from logits. Processors run first (bias, penalties, temperature, top-k, top-p, min-p); then Gumbel
// noise drawn from (seed, choice, position, token id) is added to the surviving logits and the maximum wins. That is exact
// sampling from the softmax, and it depends on nothing but those four numbers: the same seed gives the same text, alone or in
// a batch, with or without speculation.
// Threads: a Sampler is one sequence's own, one thread at a time.

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/result.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

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
  int choice = 0;                   // index among a request's n choices
  int num_top_logprobs = -1;        // -1: none wanted; 0: of the chosen token alone; n: of the n most likely too
};

// Errors: kInvalidArgument naming the field and its value (NaN, negative temperature, top_p outside (0, 1], a bias for a
// token outside the vocabulary, ...).
Status ValidateSamplingOptions(const SamplingOptions& options, int vocab_size);

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;
};

struct SampledToken {
  TokenId id = 0;
  float logprob = 0;                  // natural log, of the model's own distribution (temperature 1, before processors);
                                      // computed only when asked for
  std::vector<TokenLogprob> top;      // most likely first
};

// Uniform in (0, 1), the same on every machine. Source: counter-based generators, Salmon et al. 2011 (Philox) in spirit.
double NoiseUniform(uint64_t seed, uint32_t choice, uint64_t position, uint32_t token_id);

class Sampler {
 public:
  // Requires: options that ValidateSamplingOptions accepts. `prompt` counts for the repetition penalty.
  Sampler(SamplingOptions options, int vocab_size, std::span<const TokenId> prompt);

  // `logits` [vocab_size] as the model gave them; they are not changed. `position` is the index in the sequence (prompt
  // included) that the new token will take. Does not record the token. Requires finite or -inf logits.
  SampledToken Sample(std::span<const float> logits, int64_t position);
  // Records a token of the answer for the penalties.
  void Accept(TokenId id);

  const SamplingOptions& options() const { return options_; }

 private:
  SamplingOptions options_;
  int vocab_size_;
  std::map<TokenId, int> answer_counts_;
  std::vector<bool> seen_;            // tokens of prompt and answer; empty unless repetition_penalty is on
  std::vector<float> scratch_;        // processed logits
};

}  // namespace hearth
