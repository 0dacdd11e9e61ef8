#pragma once
// What the scheduler knows of one request; shared by its two files.

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine/output_stream.h"
#include "runtime/engine/scheduler.h"
#include "runtime/kernels/kernels.h"

namespace hearth {

inline int BlocksFor(int num_tokens) { return (num_tokens + kKvBlockTokens - 1) / kKvBlockTokens; }

inline double MillisecondsBetween(Scheduler::Clock::time_point from,
                                  Scheduler::Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

struct Scheduler::Sequence {
  Sequence(RequestId request_id, GenerateRequest generate, EventSink event_sink,
           const Tokenizer& tokenizer, int vocab_size)
      : id(request_id),
        request(std::move(generate)),
        sink(std::move(event_sink)),
        tokens(request.prompt),
        num_prompt(static_cast<int>(request.prompt.size())),
        sampler(request.sampling, vocab_size, request.prompt),
        output(tokenizer, request.stop) {}

  RequestId id;
  GenerateRequest request;
  EventSink sink;
  std::vector<TokenId> tokens;  // prompt and answer
  int num_prompt;
  int num_computed = 0;   // tokens whose K and V are in the cache
  int num_published = 0;  // full blocks offered for sharing
  std::vector<BlockId> blocks;
  std::vector<TokenId> draft;          // guesses of the pass being run
  std::vector<TokenId> drafted_slice;  // the last token and the guesses behind it
  int num_accepted = 0;                // of them, found right so far
  bool draft_failed = false;           // one was found wrong: what stands behind it is void
  Sampler sampler;
  OutputStream output;
  std::vector<GeneratedToken> prompt_tokens;  // with prompt_logprobs: sent in the first event
  GenerateStats stats;
  bool admitted_before = false;  // false until first admitted: statistics count once
  bool running = false;
  bool preempted = false;  // what it finds in the cache again is no prefix that was saved
  bool finished = false;
  Clock::time_point submitted, admitted, first_token;

  int num_answer() const { return static_cast<int>(tokens.size()) - num_prompt; }
  bool decoding() const {
    return num_computed + 1 == static_cast<int>(tokens.size()) && num_answer() > 0;
  }
  bool wants_prompt_logprobs() const { return request.prompt_logprobs >= 0 && num_answer() == 0; }
  // Tokens that stand between it and its next one.
  int num_to_compute() const { return static_cast<int>(tokens.size()) - num_computed; }
  // The tokens of a block that are known so far.
  std::span<const TokenId> block_tokens(int index) const {
    const auto rest = std::span(tokens).subspan(static_cast<size_t>(index) * kKvBlockTokens);
    return rest.first(std::min<size_t>(rest.size(), kKvBlockTokens));
  }
  std::optional<BlockId> block_before(int index) const {
    return index == 0 ? std::nullopt : std::optional(blocks[index - 1]);
  }
};

}  // namespace hearth
