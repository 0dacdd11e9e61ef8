#pragma once
// What is asked of an engine and what it answers: plain data, shared by the engine, the brain and
// the server.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/sampling/sampler.h"

namespace hearth {

struct GenerateRequest {
  std::vector<TokenId> prompt;  // at least one token
  SamplingOptions sampling;
  int max_tokens = -1;              // -1: until the context is full
  std::vector<std::string> stop;    // the answer ends before the first of these; none empty
  bool ignore_end_of_turn = false;  // benchmarks: generate on past EOS
  // >= 0: log-probabilities of the prompt's own tokens, with that many alternatives
  int prompt_logprobs = -1;
};

enum class FinishReason {
  kStop,       // an end-of-turn token or a stop string
  kLength,     // max_tokens, or the context is full
  kCancelled,  // Cancel was called
  kError,
};

struct GenerateStats {
  int prompt_tokens = 0;
  int cached_tokens = 0;      // of the prompt, found in the prefix cache
  int completion_tokens = 0;  // the end-of-turn token included
  int draft_tokens = 0;       // guesses that were checked
  int accepted_tokens = 0;    // of them, right
  double queue_ms = 0;        // waiting for a place in the batch
  double prefill_ms = 0;
  double time_to_first_token_ms = 0;  // from submission
  double decode_ms = 0;               // first token to last
};

// One token of an answer (or of an echoed prompt) with the bytes it stands for.
struct GeneratedToken {
  SampledToken sampled;
  std::string bytes;        // what the token adds to the text; may be part of a character
  int64_t text_offset = 0;  // of `bytes` in the answer's text, in bytes
};

// Delivered in order: any number of events with text, then exactly one with `finished`.
struct GenerateEvent {
  // whole characters; text that may begin a stop string is held back
  std::string text;
  // the tokens behind `text`, and any that produced no text yet; tokens at or behind a
  std::vector<GeneratedToken> tokens;
  // stop string and end-of-turn tokens are not among them
  std::vector<GeneratedToken> prompt_tokens;  // in the first event, when prompt_logprobs >= 0
  bool finished = false;
  FinishReason finish_reason = FinishReason::kStop;
  // the stop string that ended the answer; empty for an end-of-turn token
  std::string stop_matched;
  std::optional<Error> error;  // with kError
  GenerateStats stats;         // complete in the last event, running figures before
};

// Called on the engine's thread, so it must be quick and must not call back into the engine except
// for Cancel.
using EventSink = std::function<void(GenerateEvent)>;

using RequestId = uint64_t;

struct EmbeddingResult {
  std::vector<float> values;  // unit length
  int num_tokens = 0;
};

}  // namespace hearth
