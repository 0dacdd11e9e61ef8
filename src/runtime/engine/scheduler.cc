#include "runtime/engine/scheduler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace hearth {
namespace {

double MillisecondsBetween(Scheduler::Clock::time_point from, Scheduler::Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

int BlocksFor(int num_tokens) { return (num_tokens + kKvBlockTokens - 1) / kKvBlockTokens; }

}  // namespace

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
  bool finished = false;
  Clock::time_point submitted, admitted, first_token;

  int num_answer() const { return static_cast<int>(tokens.size()) - num_prompt; }
  bool decoding() const {
    return num_computed + 1 == static_cast<int>(tokens.size()) && num_answer() > 0;
  }
  bool wants_prompt_logprobs() const { return request.prompt_logprobs >= 0 && num_answer() == 0; }
};

Scheduler::Scheduler(Decoder& decoder, KvCacheStorage& kv, const Tokenizer& tokenizer,
                     const SchedulerOptions& options, std::unique_ptr<Speculator> speculator)
    : decoder_(decoder),
      kv_(kv),
      tokenizer_(tokenizer),
      options_(options),
      speculator_(std::move(speculator)),
      pool_(kv.num_blocks()) {}

Scheduler::~Scheduler() = default;

void Scheduler::Add(RequestId id, GenerateRequest request, EventSink sink,
                    Clock::time_point submitted) {
  auto sequence = std::make_unique<Sequence>(id, std::move(request), std::move(sink), tokenizer_,
                                             decoder_.hparams().vocab_size);
  sequence->submitted = submitted;
  sequence->stats.prompt_tokens = sequence->num_prompt;
  waiting_.push_back(std::move(sequence));
}

void Scheduler::Cancel(RequestId id) {
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
    if ((*it)->id != id) continue;
    Finish(**it, FinishReason::kCancelled, {});
    waiting_.erase(it);
    return;
  }
  for (auto& sequence : running_) {
    if (sequence->id == id) Finish(*sequence, FinishReason::kCancelled, {});
  }
  RemoveFinished();
}

void Scheduler::CancelWaiting() {
  for (auto& sequence : waiting_) Finish(*sequence, FinishReason::kCancelled, {});
  waiting_.clear();
}

void Scheduler::CancelAll() {
  CancelWaiting();
  for (auto& sequence : running_) Finish(*sequence, FinishReason::kCancelled, {});
  RemoveFinished();
}

Scheduler::Load Scheduler::load() const {
  return {static_cast<int>(running_.size()),
          static_cast<int>(waiting_.size()),
          static_cast<double>(pool_.num_owned()) / pool_.num_blocks(),
          prefix_queries_,
          prefix_hits_,
          preemptions_,
          steps_,
          draft_tokens_,
          accepted_tokens_};
}

// Waiting sequences enter while there is room for what they have to compute; the shared prefix they
// find is theirs at once.
void Scheduler::Admit() {
  while (!waiting_.empty() && static_cast<int>(running_.size()) < options_.max_sequences) {
    Sequence& sequence = *waiting_.front();
    const auto num_tokens = static_cast<int>(sequence.tokens.size());
    // At least one token is always computed: its logits are wanted. Prompt log-probabilities need
    // all of them.
    const int most = sequence.wants_prompt_logprobs() ? 0 : (num_tokens - 1) / kKvBlockTokens;
    sequence.blocks = pool_.Match(sequence.tokens, most);
    const int missing = BlocksFor(num_tokens + 1) - static_cast<int>(sequence.blocks.size());
    if (missing > pool_.num_available() && !running_.empty()) {
      ReleaseBlocks(sequence.blocks);
      return;
    }
    sequence.num_computed = static_cast<int>(sequence.blocks.size()) * kKvBlockTokens;
    sequence.num_published = static_cast<int>(sequence.blocks.size());
    if (!sequence.admitted_before) {
      sequence.admitted_before = true;
      sequence.admitted = Clock::now();
      sequence.stats.queue_ms = MillisecondsBetween(sequence.submitted, sequence.admitted);
      sequence.stats.cached_tokens = sequence.num_computed;
      prefix_queries_ += num_tokens;
      prefix_hits_ += sequence.num_computed;
    }
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

// Blocks for the first num_positions tokens; takes them from the youngest sequence if it must.
// False: `sequence` itself was it.
bool Scheduler::EnsureBlocks(Sequence& sequence, int num_positions, std::vector<Chunk>& planned) {
  while (static_cast<int>(sequence.blocks.size()) < BlocksFor(num_positions)) {
    if (const std::optional<BlockId> block = pool_.Allocate()) {
      sequence.blocks.push_back(*block);
      continue;
    }
    Sequence& youngest = *running_.back();
    std::erase_if(planned, [&](const Chunk& chunk) { return chunk.sequence == &youngest; });
    Preempt(youngest);
    if (&youngest == &sequence) return false;
  }
  return true;
}

// The youngest running sequence goes back to the head of the queue; its tokens stay, its K and V
// are computed again.
void Scheduler::Preempt(Sequence& sequence) {
  HEARTH_CHECK(running_.back().get() == &sequence);
  ++preemptions_;
  ReleaseBlocks(sequence.blocks);
  sequence.num_computed = 0;
  sequence.num_published = 0;
  sequence.prompt_tokens.clear();
  sequence.draft.clear();
  if (speculator_) speculator_->Forget(sequence.id);
  waiting_.push_front(std::move(running_.back()));
  running_.pop_back();
}

std::vector<Scheduler::Chunk> Scheduler::PlanStep() {
  std::vector<Chunk> chunks;
  int budget = options_.max_batch_tokens;
  for (size_t i = 0; i < running_.size() && budget > 0; ++i) {
    Sequence& sequence = *running_[i];
    if (!sequence.decoding() ||
        !EnsureBlocks(sequence, static_cast<int>(sequence.tokens.size()), chunks))
      continue;
    chunks.push_back({&sequence, 1, 1});
    --budget;
  }
  if (!chunks.empty()) budget = std::min(budget, options_.max_prefill_beside_decode);
  for (size_t i = 0; i < running_.size() && budget > 0; ++i) {
    Sequence& sequence = *running_[i];
    const auto known = static_cast<int>(sequence.tokens.size());
    if (sequence.decoding()) continue;
    const int size = std::min(budget, known - sequence.num_computed);
    if (!EnsureBlocks(sequence, sequence.num_computed + size, chunks)) continue;
    const bool complete = sequence.num_computed + size == known;
    chunks.push_back(
        {&sequence, size, sequence.wants_prompt_logprobs() ? size : (complete ? 1 : 0)});
    budget -= size;
  }
  return chunks;
}

void Scheduler::Step() {
  Admit();
  std::vector<Chunk> chunks = PlanStep();
  HEARTH_CHECK(!chunks.empty());
  ++steps_;
  const bool decodes_only =
      std::ranges::all_of(chunks, [](const Chunk& chunk) { return chunk.sequence->decoding(); });
  if (speculator_ && decodes_only) Speculate(chunks);
  const Clock::time_point begin = Clock::now();
  RunChunks(chunks);
  if (speculator_ && decodes_only) {
    int num_tokens = 0;
    for (const Chunk& chunk : chunks) num_tokens += chunk.num_tokens;
    speculator_->PassTook(num_tokens, MillisecondsBetween(begin, Clock::now()));
    for (const Chunk& chunk : chunks) CheckDraft(*chunk.sequence);
  }
  RemoveFinished();
}

// Guesses for the sequences of a pass that only decodes. Room for them is taken only where blocks
// are free.
void Scheduler::Speculate(std::vector<Chunk>& chunks) {
  std::vector<DraftRequest> requests;
  for (const Chunk& chunk : chunks) {
    Sequence& sequence = *chunk.sequence;
    const auto known = static_cast<int>(sequence.tokens.size());
    int most = std::min(options_.max_draft, options_.context_length - known - 1);
    if (sequence.request.max_tokens >= 0)
      most = std::min(most, sequence.request.max_tokens - sequence.num_answer() - 1);
    requests.push_back(
        {sequence.id, sequence.tokens, &sequence.request.sampling, std::max(most, 0), {}});
  }
  speculator_->Draft(requests);
  int budget = options_.max_batch_tokens - static_cast<int>(chunks.size());
  for (size_t i = 0; i < chunks.size(); ++i) {
    Sequence& sequence = *chunks[i].sequence;
    sequence.draft = std::move(requests[i].draft);
    if (static_cast<int>(sequence.draft.size()) > budget) sequence.draft.resize(budget);
    const auto known = static_cast<int>(sequence.tokens.size());
    while (static_cast<int>(sequence.blocks.size()) <
           BlocksFor(known + static_cast<int>(sequence.draft.size()))) {
      const std::optional<BlockId> block = pool_.Allocate();
      if (!block) {
        sequence.draft.resize(static_cast<int>(sequence.blocks.size()) * kKvBlockTokens - known);
        break;
      }
      sequence.blocks.push_back(*block);
    }
    const auto num_draft = static_cast<int>(sequence.draft.size());
    budget -= num_draft;
    sequence.num_accepted = 0;
    sequence.draft_failed = false;
    sequence.drafted_slice = {sequence.tokens.back()};
    sequence.drafted_slice.insert(sequence.drafted_slice.end(), sequence.draft.begin(),
                                  sequence.draft.end());
    chunks[i].num_tokens = chunks[i].num_outputs = 1 + num_draft;
    draft_tokens_ += num_draft;
    sequence.stats.draft_tokens += num_draft;
  }
}

// Tells the speculator how the guesses fared.
void Scheduler::CheckDraft(Sequence& sequence) {
  if (sequence.draft.empty()) return;
  accepted_tokens_ += sequence.num_accepted;
  speculator_->Verified(sequence.id, sequence.num_accepted, sequence.draft_failed);
  sequence.draft.clear();
}

void Scheduler::RunChunks(const std::vector<Chunk>& chunks) {
  std::vector<SequenceSlice> slices;
  for (const Chunk& chunk : chunks) {
    const Sequence& sequence = *chunk.sequence;
    const std::span<const TokenId> tokens =
        sequence.draft.empty()
            ? std::span(sequence.tokens).subspan(sequence.num_computed, chunk.num_tokens)
            : std::span(sequence.drafted_slice);
    slices.push_back({tokens, sequence.num_computed, sequence.blocks, chunk.num_outputs});
  }
  decoder_.Forward(slices, kv_);
  if (speculator_) {
    std::vector<ObservedSlice> observed;
    int first_row = 0;
    for (size_t i = 0; i < chunks.size(); ++i) {
      const auto count = static_cast<int>(slices[i].tokens.size());
      observed.push_back({chunks[i].sequence->id, slices[i].start, count, first_row});
      first_row += count;
    }
    speculator_->Observe(observed);
  }

  // Outputs stand in order of slices; logits are computed a few rows at a time.
  struct Wanted {
    Sequence* sequence;
    int position;  // of the token that the hidden state belongs to
  };
  std::vector<Wanted> wanted;
  for (const Chunk& chunk : chunks) {
    Sequence& sequence = *chunk.sequence;
    const int end = sequence.num_computed + chunk.num_tokens;
    for (int position = end - chunk.num_outputs; position < end; ++position)
      wanted.push_back({&sequence, position});
  }
  // Of a pass with guesses, what is computed counts as the guesses prove right, row by row.
  for (const Chunk& chunk : chunks) {
    if (chunk.sequence->draft.empty()) Advance(*chunk.sequence, chunk.num_tokens);
  }
  const int rows = decoder_.max_logits();
  for (int first = 0; first < static_cast<int>(wanted.size()); first += rows) {
    const int count = std::min(rows, static_cast<int>(wanted.size()) - first);
    const float* logits = decoder_.Logits(first, count);
    for (int i = 0; i < count; ++i, logits += decoder_.logits_stride()) {
      TakeRow(*wanted[first + i].sequence, wanted[first + i].position, logits);
    }
  }
}

// One row of logits: `position` is that of the token it was computed from.
void Scheduler::TakeRow(Sequence& sequence, int position, const float* logits) {
  if (position + 1 < sequence.num_prompt) return TakePromptLogprob(sequence, position, logits);
  if (sequence.draft.empty()) return TakeToken(sequence, logits);
  if (sequence.draft_failed || sequence.finished) return;
  Advance(sequence, 1);
  const auto index = static_cast<size_t>(sequence.num_accepted);
  TakeToken(sequence, logits);
  if (index >= sequence.draft.size()) return;  // the token behind all guesses
  sequence.draft_failed = sequence.tokens.back() != sequence.draft[index];
  if (!sequence.draft_failed) {
    ++sequence.num_accepted;
    ++sequence.stats.accepted_tokens;
  }
}

// Counts what a pass computed and offers full blocks to others.
void Scheduler::Advance(Sequence& sequence, int num_tokens) {
  sequence.num_computed += num_tokens;
  while ((sequence.num_published + 1) * kKvBlockTokens <= sequence.num_computed) {
    const int index = sequence.num_published++;
    const BlockId own = sequence.blocks[index];
    sequence.blocks[index] = pool_.Publish(
        own, index == 0 ? std::nullopt : std::optional(sequence.blocks[index - 1]),
        std::span(sequence.tokens)
            .subspan(static_cast<size_t>(index) * kKvBlockTokens, kKvBlockTokens));
    if (sequence.blocks[index] != own) kv_.Close(own);  // another computed the same: it is free
  }
}

void Scheduler::TakePromptLogprob(Sequence& sequence, int position, const float* logits) {
  SamplingOptions plain;
  plain.temperature = 0;
  plain.num_top_logprobs = sequence.request.prompt_logprobs;
  const int vocab_size = decoder_.hparams().vocab_size;
  Sampler sampler(plain, vocab_size, {});
  SampledToken token = sampler.Sample({logits, static_cast<size_t>(vocab_size)}, position + 1);
  token.id = sequence.tokens[position + 1];
  token.logprob =
      static_cast<float>(LogProbability({logits, static_cast<size_t>(vocab_size)}, token.id));
  GeneratedToken generated;
  generated.bytes = tokenizer_.TokenBytes(token.id, true);
  generated.sampled = std::move(token);
  sequence.prompt_tokens.push_back(std::move(generated));
}

void Scheduler::TakeToken(Sequence& sequence, const float* logits) {
  const auto vocab_size = static_cast<size_t>(decoder_.hparams().vocab_size);
  GenerateEvent event;
  const Clock::time_point now = Clock::now();
  if (sequence.num_answer() == 0) {
    sequence.first_token = now;
    sequence.stats.prefill_ms = MillisecondsBetween(sequence.admitted, now);
    sequence.stats.time_to_first_token_ms = MillisecondsBetween(sequence.submitted, now);
    event.prompt_tokens = std::move(sequence.prompt_tokens);
  }
  if (sequence.request.max_tokens == 0)
    return Finish(sequence, FinishReason::kLength, std::move(event));

  SampledToken token =
      sequence.sampler.Sample({logits, vocab_size}, static_cast<int64_t>(sequence.tokens.size()));
  const TokenId id = token.id;
  sequence.sampler.Accept(id);
  sequence.tokens.push_back(id);
  sequence.stats.completion_tokens = sequence.num_answer();
  sequence.stats.decode_ms = MillisecondsBetween(sequence.first_token, now);
  if (!sequence.request.ignore_end_of_turn && tokenizer_.IsEndOfGeneration(id)) {
    return Finish(sequence, FinishReason::kStop, std::move(event));
  }
  if (sequence.output.Push(std::move(token), &event))
    return Finish(sequence, FinishReason::kStop, std::move(event));
  const bool limit =
      sequence.request.max_tokens >= 0 && sequence.num_answer() >= sequence.request.max_tokens;
  if (limit || static_cast<int>(sequence.tokens.size()) >= options_.context_length) {
    return Finish(sequence, FinishReason::kLength, std::move(event));
  }
  if (event.text.empty() && event.tokens.empty() && event.prompt_tokens.empty()) return;
  event.stats = sequence.stats;
  sequence.sink(std::move(event));
}

void Scheduler::Finish(Sequence& sequence, FinishReason reason, GenerateEvent event) {
  if (sequence.finished) return;
  sequence.finished = true;
  if (event.stop_matched.empty()) sequence.output.Finish(&event);
  if (!event.stop_matched.empty()) reason = FinishReason::kStop;
  event.finished = true;
  event.finish_reason = reason;
  event.stats = sequence.stats;
  ReleaseBlocks(sequence.blocks);
  last_events_.push_back({std::move(sequence.sink), std::move(event)});
}

void Scheduler::DeliverLastEvents() {
  for (LastEvent& last : std::exchange(last_events_, {})) last.sink(std::move(last.event));
}

void Scheduler::ReleaseBlocks(std::vector<BlockId>& blocks) {
  for (auto it = blocks.rbegin(); it != blocks.rend(); ++it) {
    kv_.Close(*it);  // others share full blocks only
    pool_.Release(*it);
  }
  blocks.clear();
}

void Scheduler::RemoveFinished() {
  std::erase_if(running_, [&](const auto& sequence) {
    if (sequence->finished && speculator_) speculator_->Forget(sequence->id);
    return sequence->finished;
  });
}

Result<std::vector<float>> Scheduler::Score(std::span<const TokenId> tokens, int first) {
  std::vector<BlockId> blocks;
  const auto release = [&] { ReleaseBlocks(blocks); };
  while (static_cast<int>(blocks.size()) < BlocksFor(static_cast<int>(tokens.size()))) {
    const std::optional<BlockId> block = pool_.Allocate();
    if (!block) {
      release();
      return MakeError(ErrorCode::kResourceExhausted,
                       "no KV blocks left to score " + std::to_string(tokens.size()) + " tokens");
    }
    blocks.push_back(*block);
  }
  std::vector<float> scores;
  const auto vocab_size = static_cast<size_t>(decoder_.hparams().vocab_size);
  // the last token predicts nothing that is asked for
  const auto last = static_cast<int>(tokens.size()) - 1;
  for (int start = 0; start < last; start += options_.max_batch_tokens) {
    const int size = std::min(options_.max_batch_tokens, last - start);
    const int num_outputs = std::clamp(start + size - (first - 1), 0, size);
    const SequenceSlice slice{tokens.subspan(start, size), start, blocks, num_outputs};
    decoder_.Forward({&slice, 1}, kv_);
    for (int row = 0; row < num_outputs; row += options_.max_sequences) {
      const int count = std::min(options_.max_sequences, num_outputs - row);
      const float* logits = decoder_.Logits(row, count);
      for (int i = 0; i < count; ++i, logits += decoder_.logits_stride()) {
        const int position = start + size - num_outputs + row + i;
        scores.push_back(
            static_cast<float>(LogProbability({logits, vocab_size}, tokens[position + 1])));
      }
    }
  }
  release();
  return scores;
}

double LogProbability(std::span<const float> logits, TokenId id) {
  const float maximum = *std::ranges::max_element(logits);
  const double sum = Kernels().sum_exp(logits.data(), static_cast<int>(logits.size()), maximum);
  return static_cast<double>(logits[id]) - maximum - std::log(sum);
}

}  // namespace hearth
