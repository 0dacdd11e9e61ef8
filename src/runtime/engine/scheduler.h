#pragma once
// Continuous batching: decides what each pass computes, runs it, samples, and streams. Every
// decoding sequence has its next token in each pass. What is left is filled with prompts, and where
// others are decoding, with no more of them than the pass has time for. The shortest prompt goes
// first, for it is soon through; a quarter goes to the oldest, so that it gets through too. A
// block that several sequences begin with is computed by one of them, the others wait for it. When
// the KV blocks run out, the youngest sequence gives its blocks back and is computed again later.
// Threads: owned and called by the engine's thread only.

#include <chrono>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "runtime/engine/output_stream.h"
#include "runtime/engine/prefill_pacer.h"
#include "runtime/engine/request.h"
#include "runtime/kv_cache/block_pool.h"
#include "runtime/kv_cache/kv_storage.h"
#include "runtime/model/decoder.h"
#include "runtime/sampling/sampler.h"
#include "runtime/spec_decode/speculator.h"

namespace hearth {

struct SchedulerOptions {
  int context_length = 0;
  int max_sequences = 16;
  int max_batch_tokens = 512;
  double decode_pass_ms = 150;  // a pass that also decodes takes in prompts for about so long
  int max_draft = 0;            // guesses checked for a sequence in one pass
};

class Scheduler {
 public:
  using Clock = std::chrono::steady_clock;

  // `speculator` may be null: plain decoding.
  Scheduler(Decoder& decoder, KvCacheStorage& kv, const Tokenizer& tokenizer,
            const SchedulerOptions& options, std::unique_ptr<Speculator> speculator = nullptr);
  ~Scheduler();

  // Requires a request that Engine::Submit found sound.
  void Add(RequestId id, GenerateRequest request, EventSink sink, Clock::time_point submitted);
  void Cancel(RequestId id);
  void CancelWaiting();
  void CancelAll();

  bool idle() const { return waiting_.empty() && running_.empty(); }
  // Lets waiting requests in while there is room for them; Step does it itself too.
  void Admit();
  // One pass. Requires !idle().
  void Step();

  // Log-probabilities of tokens[first..] given all before each; uses free blocks.
  Result<std::vector<float>> Score(std::span<const TokenId> tokens, int first);

  // For saving and restoring what it keeps, between two steps.
  BlockPool& block_pool() { return pool_; }

  struct Load {
    int running = 0, waiting = 0;
    double kv_usage = 0;
    int64_t prefix_queries = 0, prefix_hits = 0, preemptions = 0, steps = 0;
    int64_t draft_tokens = 0, accepted_tokens = 0;
  };
  Load load() const;

  // Tells the requests that ended so. Held back until then, so that whoever hears of an end finds
  // it counted in what was published of load().
  void DeliverLastEvents();

 private:
  struct Sequence;
  struct LastEvent {
    EventSink sink;
    GenerateEvent event;
  };
  struct Chunk {
    Sequence* sequence;
    int num_tokens;
    int num_outputs;
  };

  std::vector<Chunk> PlanStep();
  void PlanPrompts(int budget, std::vector<Chunk>& chunks);
  void TakeKnownBlocks(Sequence& sequence);
  void TakePart(Sequence& sequence);
  void KeepPart(Sequence& sequence);
  static bool TakesNextBlock(const Sequence& sequence);
  static bool NeedSameBlock(const Sequence& a, const Sequence& b);
  bool EnsureBlocks(Sequence& sequence, int num_positions, std::vector<Chunk>& planned);
  void Preempt(Sequence& sequence);
  void Speculate(std::vector<Chunk>& chunks);
  void RunChunks(const std::vector<Chunk>& chunks);
  void Advance(Sequence& sequence, int num_tokens);
  void CheckDraft(Sequence& sequence);
  void TakeRow(Sequence& sequence, int position, const float* logits);
  void TakePromptLogprob(Sequence& sequence, int position, const float* logits);
  void TakeToken(Sequence& sequence, const float* logits);
  void Finish(Sequence& sequence, FinishReason reason, GenerateEvent event);
  void ReleaseBlocks(std::vector<BlockId>& blocks);
  void RemoveFinished();

  Decoder& decoder_;
  KvCacheStorage& kv_;
  const Tokenizer& tokenizer_;
  SchedulerOptions options_;
  std::unique_ptr<Speculator> speculator_;
  BlockPool pool_;
  PrefillPacer pacer_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;  // oldest first
  std::vector<LastEvent> last_events_;
  int64_t prefix_queries_ = 0, prefix_hits_ = 0, preemptions_ = 0, steps_ = 0;
  int64_t draft_tokens_ = 0, accepted_tokens_ = 0;
};

// Natural log of the softmax of logits[id], in double.
double LogProbability(std::span<const float> logits, TokenId id);

}  // namespace hearth
