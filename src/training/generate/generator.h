#pragma once
// Writes many texts at once with a decoder: a fixed number of slots, each with one sequence; a slot
// whose sequence has ended gets the next one. On a GPU a step is one CUDA graph, and the host looks
// at the tokens only every so many steps. When requests run out and half of the slots stand empty,
// the batch is halved; it grows again when there are more. What the caller does with a text that
// has ended, and with the next prompt, is done while the device runs the steps after it.
//
// A sequence depends on its own prompt, settings and seed, not on what shares the batch, but for
// the rounding of products whose shapes differ (prompts are computed in groups).
// Threads: one at a time.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "training/model/decoder.h"
#include "training/model/torch_compat_graph.h"

namespace hearth::forge {

struct GenerationRequest {
  int64_t tag = 0;              // the caller's, to know it again
  std::vector<int32_t> prompt;  // at least 1 token
  int64_t max_new_tokens = 512;
  double temperature = 1;  // 0: the likeliest token each time
  double top_p = 1;        // heeded with GeneratorOptions::use_top_p
  uint64_t seed = 0;
};

struct GeneratedText {
  std::vector<int32_t> tokens;  // with the stop token where it has one
  bool stopped = false;         // by a stop token; false: max_new_tokens or the capacity
};

struct GeneratorOptions {
  int64_t batch = 1024;      // slots at most
  int64_t least_batch = 64;  // not halved below: a GPU's step would hardly be shorter
  int64_t capacity = 1024;   // tokens of a sequence, prompt included
  std::vector<int32_t> stop_tokens;
  int64_t steps_per_check = 16;    // between the host's looks
  int64_t prefill_tokens = 16384;  // most of one pass over prompts, padding included
  bool use_top_p = false;          // costs a sort of the vocabulary each step
  bool use_graph = true;
};

struct GeneratorStatistics {
  int64_t sequences = 0;
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  double seconds = 0;
  // Of the slots' steps, how many gave a token that was wanted.
  double occupancy = 0;

  double tokens_per_second() const {
    return seconds > 0 ? static_cast<double>(new_tokens) / seconds : 0;
  }
};

// Requests in the order wanted; nothing for now, or at the end. Asked again after each check, since
// an answer may be the next request's prompt.
using NextRequest = std::function<std::optional<GenerationRequest>()>;
// Called as sequences end, in no order.
using OnGenerated = std::function<Status(const GenerationRequest&, GeneratedText)>;

class Generator {
 public:
  // `decoder` outlives it and keeps its weights' addresses (the graph holds them; values may
  // change). Requires: options of at least 1, a capacity of at least 2.
  Generator(const Decoder& decoder, const GeneratorOptions& options);

  // Until there is no request left. Errors: kInvalidArgument for a prompt that is empty or holds a
  // token beyond the vocabulary; kInternal and kResourceExhausted of torch; those of `done`.
  // A prompt that leaves no room for a token ends at once, with none.
  Status Run(const NextRequest& next, const OnGenerated& done);

  const GeneratorStatistics& statistics() const { return statistics_; }

 private:
  struct Slot {
    bool busy = false;
    GenerationRequest request;
    int64_t limit = 0;   // tokens still to come at most, when it began
    int64_t length = 0;  // tokens in the cache
    GeneratedText text;
  };

  int64_t batch() const { return static_cast<int64_t>(slots_.size()); }
  Status Fill(const NextRequest& next, const OnGenerated& done);
  void Resize(int64_t batch);
  Status CheckRequest(const GenerationRequest& request) const;
  void Prefill(std::vector<int64_t> slots);
  void Begin(const std::vector<int64_t>& slots);
  void DrawNoise();
  void RunSteps();
  void Step();
  void Collect();
  Status HandOver(const OnGenerated& done);

  const Decoder& decoder_;
  GeneratorOptions options_;
  std::vector<Slot> slots_;
  std::vector<Slot> ended_;  // to be handed over
  int64_t num_busy_ = 0;
  GeneratorStatistics statistics_;
  int64_t slot_steps_ = 0;

  // On the device, at the same addresses between changes of the batch; [batch] where not said
  // otherwise.
  KvCache cache_;
  Tensor lengths_, tokens_, alive_, remaining_;  // int64; alive 1 or 0
  Tensor temperature_, top_p_;                   // FP32
  Tensor noise_;                                 // FP32 [batch, steps_per_check]
  Tensor out_;                                   // int64 [batch, steps_per_check]; -1: none
  Tensor step_;                                  // int64 [1]: the column
  Tensor is_stop_;                               // bool [vocab_size]
  StepGraph graph_;                              // goes before what it writes to
};

}  // namespace hearth::forge
