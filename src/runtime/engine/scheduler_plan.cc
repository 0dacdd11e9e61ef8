// Which sequences run, and what a pass computes of each.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "runtime/engine/scheduler.h"
#include "runtime/engine/scheduler_sequence.h"

namespace hearth {
namespace {

// Of the prompt tokens of a pass one in so many is of the oldest prompt, however long it is.
constexpr int kOldestShare = 4;

}  // namespace

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
    TakePart(sequence);
    if (!sequence.admitted_before) {
      sequence.admitted_before = true;
      sequence.admitted = Clock::now();
      sequence.stats.queue_ms = MillisecondsBetween(sequence.submitted, sequence.admitted);
      sequence.stats.cached_tokens = sequence.num_computed;
      prefix_queries_ += num_tokens;
      prefix_hits_ += sequence.num_computed;
    }
    sequence.running = true;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

// Copies what is known of the first block that is not known as a whole. With int4 keys a part is
// no use: those of a block are coded together, from f16 keys that are gone.
void Scheduler::TakePart(Sequence& sequence) {
  const int most = sequence.num_to_compute() - 1;  // the last token is always computed
  if (kv_.has_open_blocks() || sequence.wants_prompt_logprobs() || most <= 0) return;
  const auto index = static_cast<int>(sequence.blocks.size());
  const std::span<const TokenId> tokens = sequence.block_tokens(index);
  const std::optional<BlockPool::Part> part =
      pool_.MatchPart(sequence.block_before(index),
                      tokens.first(std::min(tokens.size(), static_cast<size_t>(most))));
  if (!part) return;
  if (const std::optional<BlockId> own = pool_.Allocate()) {
    kv_.CopyBlock(part->block, *own);
    sequence.blocks.push_back(*own);
    sequence.num_computed += part->num_tokens;
  }
  pool_.Release(part->block);
}

// Leaves what an ended sequence has of its last block to be found.
void Scheduler::KeepPart(Sequence& sequence) {
  const int index = sequence.num_computed / kKvBlockTokens;
  if (kv_.has_open_blocks() || static_cast<int>(sequence.blocks.size()) <= index) return;
  pool_.PublishPart(sequence.blocks[index], sequence.block_before(index),
                    sequence.block_tokens(index).first(
                        static_cast<size_t>(sequence.num_computed % kKvBlockTokens)));
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
  sequence.running = false;
  sequence.preempted = true;
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
  if (!chunks.empty()) budget = std::min(budget, pacer_.TokensWithin(options_.decode_pass_ms));
  PlanPrompts(budget, chunks);
  return chunks;
}

// Whether it would take its next block from another that computed it: its last token is always
// computed, and prompt log-probabilities need all of them.
bool Scheduler::TakesNextBlock(const Sequence& sequence) {
  const int end = (sequence.num_computed / kKvBlockTokens + 1) * kKvBlockTokens;
  return end < static_cast<int>(sequence.tokens.size()) && !sequence.wants_prompt_logprobs();
}

// Takes what others have computed since the last pass of the blocks that are next.
void Scheduler::TakeKnownBlocks(Sequence& sequence) {
  while (TakesNextBlock(sequence)) {
    const int index = sequence.num_computed / kKvBlockTokens;
    const int end = (index + 1) * kKvBlockTokens;
    const std::optional<BlockId> found =
        pool_.MatchOne(sequence.block_before(index), sequence.block_tokens(index));
    if (!found) return;
    if (static_cast<int>(sequence.blocks.size()) > index) {
      // It had begun to compute the same itself.
      kv_.Close(sequence.blocks[index]);
      pool_.Release(sequence.blocks[index]);
      sequence.blocks[index] = *found;
    } else {
      sequence.blocks.push_back(*found);
    }
    if (!sequence.preempted) {
      sequence.stats.cached_tokens += end - sequence.num_computed;
      prefix_hits_ += end - sequence.num_computed;
    }
    sequence.num_computed = end;
    sequence.num_published = index + 1;
  }
}

// Whether both are to compute the same block next.
bool Scheduler::NeedSameBlock(const Sequence& a, const Sequence& b) {
  const int index = a.num_computed / kKvBlockTokens;
  return index == b.num_computed / kKvBlockTokens &&
         a.block_before(index) == b.block_before(index) &&
         a.block_tokens(index).size() == kKvBlockTokens &&
         std::ranges::equal(a.block_tokens(index), b.block_tokens(index));
}

void Scheduler::PlanPrompts(int budget, std::vector<Chunk>& chunks) {
  std::vector<Sequence*> prompts;
  for (const auto& sequence : running_) {
    if (sequence->decoding()) continue;
    TakeKnownBlocks(*sequence);
    prompts.push_back(sequence.get());
  }
  if (prompts.empty() || budget <= 0) return;
  Sequence* oldest = prompts.front();
  std::ranges::stable_sort(prompts, {}, &Sequence::num_to_compute);
  struct Share {
    Sequence* sequence;
    int num_tokens;
  };
  std::vector<Share> shares;
  size_t oldest_share = 0;
  for (Sequence* sequence : prompts) {
    // The block that a shorter one computes is there for this one too as soon as it is done.
    const auto same = std::ranges::find_if(
        shares, [&](const Share& share) { return NeedSameBlock(*share.sequence, *sequence); });
    const bool waits = same != shares.end() && TakesNextBlock(*sequence);
    if (sequence == oldest)
      oldest_share = static_cast<size_t>((waits ? same : shares.end()) - shares.begin());
    if (!waits) shares.push_back({sequence, 0});
  }
  Share& first = shares[oldest_share];
  first.num_tokens =
      std::min(first.sequence->num_to_compute(), (budget + kOldestShare - 1) / kOldestShare);
  budget -= first.num_tokens;
  for (Share& share : shares) {
    const int more = std::min(share.sequence->num_to_compute() - share.num_tokens, budget);
    share.num_tokens += more;
    budget -= more;
  }
  for (const Share& share : shares) {
    Sequence& sequence = *share.sequence;
    if (share.num_tokens == 0 || !sequence.running) continue;  // others needed its blocks
    const int end = sequence.num_computed + share.num_tokens;
    if (!EnsureBlocks(sequence, end, chunks)) continue;
    const bool complete = end == static_cast<int>(sequence.tokens.size());
    const int one = complete ? 1 : 0;
    chunks.push_back(
        {&sequence, share.num_tokens, sequence.wants_prompt_logprobs() ? share.num_tokens : one});
  }
}

}  // namespace hearth
