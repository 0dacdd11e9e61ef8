#include "runtime/spec_decode/draft_model.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/check.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

// Reading prompts may take about so long of a step in which others wait.
constexpr double kCatchUpMs = 40;
constexpr int kFewestCatchUp = 16;
constexpr int kUnmeasuredCatchUp = 64;

double MillisecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

int BlocksFor(size_t num_tokens) {
  return static_cast<int>((num_tokens + kKvBlockTokens - 1) / kKvBlockTokens);
}

// Errors: kInvalidArgument naming the first token that differs.
Status CheckSameTokens(const Tokenizer& draft, const Tokenizer& base, const std::string& path) {
  const int common = std::min(draft.vocab_size(), base.vocab_size());
  for (TokenId id = 0; id < common; ++id) {
    if (draft.TokenText(id) == base.TokenText(id)) continue;
    return MakeError(ErrorCode::kInvalidArgument,
                     path + " cannot draft for this model: token " + std::to_string(id) + " is '" +
                         std::string(draft.TokenText(id)) + "' there and '" +
                         std::string(base.TokenText(id)) + "' here");
  }
  // Rows beyond the tokens pad the matrices of some models and are never text.
  if (std::abs(draft.vocab_size() - base.vocab_size()) > 1024) {
    return MakeError(ErrorCode::kInvalidArgument, path + " cannot draft for this model: it has " +
                                                      std::to_string(draft.vocab_size()) +
                                                      " tokens, the model " +
                                                      std::to_string(base.vocab_size()));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<DraftModel>> DraftModel::Load(GgufFile file, const Tokenizer& base,
                                                     const GgufFile& base_file, ThreadPool& pool,
                                                     const DraftModelOptions& options) {
  if (file.Has("tokenizer.ggml.model")) {
    HEARTH_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::FromGguf(file));
    HEARTH_RETURN_IF_ERROR(CheckSameTokens(*tokenizer, base, file.path()));
  }
  std::unique_ptr<DraftModel> model(new DraftModel(std::move(file), options));
  DecoderOptions decoder_options;
  decoder_options.max_batch_tokens =
      std::max(options.max_batch_tokens, options.max_sequences * static_cast<int>(kMaxBeside));
  decoder_options.max_logits = options.max_sequences;
  decoder_options.max_head_rows = options.max_head_rows;
  decoder_options.integer_activations = options.integer_activations;
  decoder_options.embedding_file = &base_file;
  decoder_options.image = options.image;
  HEARTH_ASSIGN_OR_RETURN(model->decoder_, Decoder::Load(model->file_, pool, decoder_options));
  model->logits_ = std::make_unique<DraftLogits>(*model->decoder_);
  return model;
}

int64_t DraftModel::kv_bytes_per_block() const {
  return decoder_->kv_shape(options_.kv_storage).bytes_per_block();
}

Status DraftModel::ReserveKv(int num_blocks) {
  HEARTH_CHECK(options_.kv_storage != KvStorage::kInt4);
  HEARTH_ASSIGN_OR_RETURN(
      KvCacheStorage kv,
      KvCacheStorage::Create(decoder_->kv_shape(options_.kv_storage), num_blocks));
  kv_ = std::make_unique<KvCacheStorage>(std::move(kv));
  pool_ = std::make_unique<BlockPool>(num_blocks);
  return {};
}

bool DraftModel::EnsureBlocks(Sequence& sequence, size_t num_tokens) {
  while (static_cast<int>(sequence.blocks.size()) < BlocksFor(num_tokens)) {
    const std::optional<BlockId> block = pool_->Allocate();
    if (!block) return false;
    sequence.blocks.push_back(*block);
  }
  return true;
}

// The sequence as far as the draft has read it: what others have read of the same tokens counts,
// guesses that proved wrong do not.
DraftModel::Sequence& DraftModel::Follow(const Proposal& proposal) {
  Sequence& sequence = sequences_[proposal.sequence];
  const std::span<const TokenId> tokens = proposal.tokens;
  const size_t most = std::min(sequence.computed.size(), tokens.size() - 1);
  const auto end = sequence.computed.begin() + static_cast<ptrdiff_t>(most);
  const auto same = std::mismatch(sequence.computed.begin(), end, tokens.begin()).first;
  sequence.computed.erase(same, sequence.computed.end());
  // Published blocks hold tokens that the base had accepted, so they always stay.
  HEARTH_CHECK(sequence.num_published * kKvBlockTokens <=
               static_cast<int>(sequence.computed.size()));
  TakeKnownBlocks(sequence, tokens);
  return sequence;
}

void DraftModel::TakeKnownBlocks(Sequence& sequence, std::span<const TokenId> tokens) {
  for (;;) {
    const size_t index = sequence.computed.size() / kKvBlockTokens;
    if ((index + 1) * kKvBlockTokens >= tokens.size()) return;  // the last token is computed
    const std::span<const TokenId> block = tokens.subspan(index * kKvBlockTokens, kKvBlockTokens);
    const std::optional<BlockId> found = pool_->MatchOne(
        index == 0 ? std::nullopt : std::optional(sequence.blocks[index - 1]), block);
    if (!found) return;
    if (sequence.blocks.size() > index) {
      pool_->Release(sequence.blocks[index]);
      sequence.blocks[index] = *found;
    } else {
      sequence.blocks.push_back(*found);
    }
    sequence.computed.resize(index * kKvBlockTokens);
    sequence.computed.insert(sequence.computed.end(), block.begin(), block.end());
    sequence.num_published = static_cast<int>(index) + 1;
  }
}

// Makes ready what the next pass has to compute. False: no room.
bool DraftModel::Start(Proposal& proposal, Active& active) {
  Sequence& sequence = sequences_[proposal.sequence];
  if (!EnsureBlocks(sequence, proposal.tokens.size() + static_cast<size_t>(proposal.max_draft)))
    return false;
  sequence.sampler.Follow(proposal, logits_->num_tokens());
  const auto rest = proposal.tokens.subspan(sequence.computed.size());
  active = {&proposal, &sequence, {rest.begin(), rest.end()}, false};
  return true;
}

// Tokens of prompts that may be read in one step.
int DraftModel::CatchUpTokens() const {
  const int tokens = prompt_token_ms_ == 0
                         ? kUnmeasuredCatchUp
                         : static_cast<int>(std::min(kCatchUpMs / prompt_token_ms_, 1e6));
  return std::min(std::max(tokens, kFewestCatchUp), options_.max_batch_tokens);
}

// Reads on in a prompt, at most *num_tokens, which it lowers. Whether the sequence may have guesses
// now.
bool DraftModel::CatchUp(Proposal& proposal, Sequence& sequence, int* num_tokens) {
  const auto begun = static_cast<int>(sequence.computed.size());
  const std::span<const TokenId> rest = proposal.tokens.subspan(sequence.computed.size());
  const auto size = std::min(static_cast<size_t>(*num_tokens), rest.size() - 1);
  if (size == 0 || !EnsureBlocks(sequence, sequence.computed.size() + size)) return false;
  const Clock::time_point begin = Clock::now();
  const SequenceSlice slice{rest.first(size), begun, sequence.blocks, 0};
  decoder_->Forward({&slice, 1}, *kv_);
  sequence.computed.insert(sequence.computed.end(), slice.tokens.begin(), slice.tokens.end());
  Publish(sequence);
  const double ms = MillisecondsSince(begin), token_ms = ms / static_cast<double>(size);
  proposal.budget->Spent(ms);
  prompt_token_ms_ =
      prompt_token_ms_ == 0
          ? token_ms
          : prompt_token_ms_ + 0.2 * (std::min(token_ms, 2 * prompt_token_ms_) - prompt_token_ms_);
  num_prompt_tokens_ += static_cast<int64_t>(size);
  *num_tokens -= static_cast<int>(size);
  return rest.size() - size <= kMaxBeside;
}

// What the base has accepted may be shared with other sequences.
void DraftModel::Publish(Sequence& sequence) {
  while ((sequence.num_published + 1) * kKvBlockTokens <=
         static_cast<int>(sequence.computed.size())) {
    const int index = sequence.num_published++;
    sequence.blocks[index] =
        pool_->Publish(sequence.blocks[index],
                       index == 0 ? std::nullopt : std::optional(sequence.blocks[index - 1]),
                       std::span(sequence.computed)
                           .subspan(static_cast<size_t>(index) * kKvBlockTokens, kKvBlockTokens));
  }
}

void DraftModel::RunPass(std::span<Active> active) {
  std::vector<SequenceSlice> slices;
  for (const Active& one : active) {
    slices.push_back(
        {one.pending, static_cast<int>(one.sequence->computed.size()), one.sequence->blocks, 1});
  }
  decoder_->Forward(slices, *kv_);
  for (Active& one : active) {
    one.sequence->computed.insert(one.sequence->computed.end(), one.pending.begin(),
                                  one.pending.end());
  }
}

// Of a guess in a pass for so many sequences.
DraftCost DraftModel::Cost(size_t num_sharing) const {
  const auto count = static_cast<int>(num_sharing);
  return {costs_known_ ? costs_.Ms(count) : 0, count, 0};
}

void DraftModel::Propose(std::span<Proposal*> proposals) {
  std::vector<Active> active;
  int catch_up = CatchUpTokens();
  const size_t most = std::min(proposals.size(), static_cast<size_t>(options_.max_sequences));
  for (Proposal* proposal : proposals) {
    if (active.size() == most) break;
    if (static_cast<int>(proposal->tokens.size()) + proposal->max_draft > options_.context_length)
      continue;
    Sequence& sequence = Follow(*proposal);
    const size_t behind = proposal->tokens.size() - sequence.computed.size();
    DraftCost cost = Cost(most);
    if (behind > kMaxBeside) cost.once_ms = static_cast<double>(behind) * prompt_token_ms_;
    if (!proposal->budget->WorthDrafting(cost)) continue;
    if (behind > kMaxBeside && !CatchUp(*proposal, sequence, &catch_up)) continue;
    Active one;
    if (Start(*proposal, one)) active.push_back(std::move(one));
  }
  for (bool first = true; !active.empty(); first = false) {
    const Clock::time_point begin = Clock::now();
    int num_tokens = 0;
    for (const Active& one : active) num_tokens += static_cast<int>(one.pending.size());
    RunPass(active);
    if (first) {
      // So far all of it is text that the base has written or read.
      for (Active& one : active) Publish(*one.sequence);
    }
    const float* logits = decoder_->Logits(0, static_cast<int>(active.size()));
    size_t num_took = 0;
    for (size_t i = 0; i < active.size(); ++i) {
      Active& one = active[i];
      logits_->Set(logits + i * decoder_->logits_stride());
      const auto [token, confidence] = one.sequence->sampler.Choose(
          *logits_, static_cast<int64_t>(one.sequence->computed.size()));
      one.took = one.proposal->budget->Take(confidence);
      if (!one.took) continue;
      ++num_took;
      one.proposal->draft.push_back(token);
      one.pending = {token};
    }
    costs_.Record(num_tokens, MillisecondsSince(begin));
    costs_known_ |= num_tokens <= PassCosts::kMaxTokens;
    std::vector<Active> still;
    for (Active& one : active) {
      const bool full = static_cast<int>(one.proposal->draft.size()) >= one.proposal->max_draft;
      if (one.took && !full && one.proposal->budget->WorthDrafting(Cost(num_took)))
        still.push_back(std::move(one));
    }
    active = std::move(still);
  }
}

void DraftModel::Forget(uint64_t sequence) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return;
  std::vector<BlockId>& blocks = found->second.blocks;
  for (auto it = blocks.rbegin(); it != blocks.rend(); ++it) pool_->Release(*it);
  sequences_.erase(found);
}

}  // namespace hearth
