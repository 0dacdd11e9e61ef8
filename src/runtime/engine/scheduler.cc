#include "runtime/engine/scheduler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "runtime/engine/scheduler_sequence.h"

namespace hearth {
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

void Scheduler::Step() {
  Admit();
  std::vector<Chunk> chunks;
  // Whoever was to compute for all that wait for the same block may have been preempted: the next
  // plan has another do it.
  while (chunks.empty()) {
    HEARTH_CHECK(!running_.empty());
    chunks = PlanStep();
  }
  ++steps_;
  int num_decodes = 0, num_prompt_tokens = 0;
  for (const Chunk& chunk : chunks)
    (chunk.sequence->decoding() ? num_decodes : num_prompt_tokens) += chunk.num_tokens;
  const bool decodes_only = num_prompt_tokens == 0;
  if (speculator_ && decodes_only) Speculate(chunks);
  const Clock::time_point begin = Clock::now();
  RunChunks(chunks);
  const double ms = MillisecondsBetween(begin, Clock::now());
  pacer_.Record(num_decodes, num_prompt_tokens, ms);
  if (speculator_ && decodes_only) {
    int num_tokens = 0;
    for (const Chunk& chunk : chunks) num_tokens += chunk.num_tokens;
    speculator_->PassTook(num_tokens, ms);
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
    int left = options_.context_length - known;
    if (sequence.request.max_tokens >= 0)
      left = std::min(left, sequence.request.max_tokens - sequence.num_answer());
    const int most = std::clamp(left - 1, 0, options_.max_draft);  // one token comes without
    requests.push_back({sequence.id, sequence.tokens, &sequence.request.sampling, most, left, {}});
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
    sequence.blocks[index] =
        pool_.Publish(own, sequence.block_before(index), sequence.block_tokens(index));
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
  KeepPart(sequence);
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
