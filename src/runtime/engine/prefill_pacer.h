#pragma once
// How many tokens of prompts a pass may take in beside sequences that are decoding, so that these
// get their next token in time: learned from how long passes took. Threads: one at a time.

namespace hearth {

class PrefillPacer {
 public:
  static constexpr int kFewest = 32;       // whatever they cost: prompts must come to an end
  static constexpr int kUnmeasured = 256;  // where nothing is known yet

  // A pass that decoded `num_decodes` sequences beside `num_prompt_tokens` took `ms`.
  void Record(int num_decodes, int num_prompt_tokens, double ms);
  // Prompt tokens with which a pass that also decodes takes about `ms`.
  int TokensWithin(double ms) const;

 private:
  double decode_ms_ = 0;  // of a pass that only decodes; 0: not measured
  double token_ms_ = 0;   // that a prompt token adds to it; 0: not measured
};

}  // namespace hearth
