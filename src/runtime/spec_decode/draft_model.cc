#include "runtime/spec_decode/draft_model.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/check.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

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
  decoder_options.max_batch_tokens = std::max(options.max_batch_tokens, options.max_sequences);
  decoder_options.max_logits = options.max_sequences;
  decoder_options.max_head_rows = options.max_head_rows;
  decoder_options.integer_activations = options.integer_activations;
  decoder_options.embedding_file = &base_file;
  decoder_options.image = options.image;
  HEARTH_ASSIGN_OR_RETURN(model->decoder_, Decoder::Load(model->file_, pool, decoder_options));
  const int num_blocks = options.max_sequences * BlocksFor(options.context_length);
  HEARTH_ASSIGN_OR_RETURN(
      KvCacheStorage kv,
      KvCacheStorage::Create(model->decoder_->kv_shape(KvStorage::kF16), num_blocks));
  model->logits_ = std::make_unique<DraftLogits>(*model->decoder_);
  model->kv_ = std::make_unique<KvCacheStorage>(std::move(kv));
  model->pool_ = std::make_unique<BlockPool>(num_blocks);
  return model;
}

bool DraftModel::EnsureBlocks(Sequence& sequence, size_t num_tokens) {
  while (static_cast<int>(sequence.blocks.size()) < BlocksFor(num_tokens)) {
    const std::optional<BlockId> block = pool_->Allocate();
    if (!block) return false;
    sequence.blocks.push_back(*block);
  }
  return true;
}

// Forgets what was computed behind the first num_tokens. Published blocks hold tokens that the base
// had accepted, so they always stay.
void DraftModel::Truncate(Sequence& sequence, size_t num_tokens) {
  sequence.computed.resize(num_tokens);
  HEARTH_CHECK(sequence.num_published * kKvBlockTokens <= static_cast<int>(num_tokens));
}

// Makes ready what the model has to compute before its first guess. False: no room.
bool DraftModel::Start(Proposal& proposal, Active& active) {
  const auto [found, is_new] = sequences_.try_emplace(proposal.sequence);
  Sequence& sequence = found->second;
  if (is_new) {
    const int most = static_cast<int>(proposal.tokens.size() - 1) / kKvBlockTokens;
    sequence.blocks = pool_->Match(proposal.tokens, most);
    sequence.num_published = static_cast<int>(sequence.blocks.size());
    sequence.computed.assign(
        proposal.tokens.begin(),
        proposal.tokens.begin() + static_cast<ptrdiff_t>(sequence.blocks.size()) * kKvBlockTokens);
  }
  sequence.sampler.Follow(proposal, logits_->num_tokens());
  const size_t most = std::min(sequence.computed.size(), proposal.tokens.size() - 1);
  const auto common =
      static_cast<size_t>(std::mismatch(sequence.computed.begin(),
                                        sequence.computed.begin() + static_cast<ptrdiff_t>(most),
                                        proposal.tokens.begin())
                              .first -
                          sequence.computed.begin());
  Truncate(sequence, common);
  if (!EnsureBlocks(sequence, proposal.tokens.size() + static_cast<size_t>(proposal.max_draft)))
    return false;
  active = {&proposal, &sequence, {}, false};
  const auto rest = proposal.tokens.subspan(common);
  active.pending.assign(rest.begin(), rest.end());
  return true;
}

// A long prompt is computed in passes of its own, all but its last token.
void DraftModel::ComputePrompt(Active& active) {
  Sequence& sequence = *active.sequence;
  const auto chunk = static_cast<size_t>(options_.max_batch_tokens);
  while (active.pending.size() > 8) {
    const size_t size = std::min(chunk, active.pending.size() - 1);
    const SequenceSlice slice{std::span(active.pending).first(size),
                              static_cast<int>(sequence.computed.size()), sequence.blocks, 0};
    decoder_->Forward({&slice, 1}, *kv_);
    sequence.computed.insert(sequence.computed.end(), active.pending.begin(),
                             active.pending.begin() + static_cast<ptrdiff_t>(size));
    active.pending.erase(active.pending.begin(),
                         active.pending.begin() + static_cast<ptrdiff_t>(size));
  }
}

// What the base has accepted may be shared with other sequences.
void DraftModel::Publish(Sequence& sequence) {
  while ((sequence.num_published + 1) * kKvBlockTokens <=
         static_cast<int>(sequence.computed.size())) {
    const int index = sequence.num_published++;
    sequence.blocks[index] = pool_->Publish(
        sequence.blocks[index],
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

void DraftModel::Propose(std::span<Proposal*> proposals) {
  std::vector<Active> active;
  for (Proposal* proposal : proposals) {
    if (static_cast<int>(active.size()) == options_.max_sequences) break;
    if (static_cast<int>(proposal->tokens.size()) + proposal->max_draft > options_.context_length)
      continue;
    if (!proposal->budget->WorthDrafting(step_ms_)) continue;
    Active one;
    if (!Start(*proposal, one)) continue;
    ComputePrompt(one);
    active.push_back(std::move(one));
  }
  for (bool first = true; !active.empty(); first = false) {
    const Clock::time_point begin = Clock::now();
    RunPass(active);
    if (first) {
      // So far all of it is text that the base has written or read.
      for (Active& one : active) Publish(*one.sequence);
    }
    const float* logits = decoder_->Logits(0, static_cast<int>(active.size()));
    std::vector<Active> still;
    for (size_t i = 0; i < active.size(); ++i) {
      Active& one = active[i];
      const auto [token, confidence] =
          one.sequence->sampler.Choose(logits_->ById(logits + i * decoder_->logits_stride()),
                                       static_cast<int64_t>(one.sequence->computed.size()));
      one.took = one.proposal->budget->Take(confidence);
      if (!one.took) continue;
      one.proposal->draft.push_back(token);
      one.pending = {token};
    }
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    step_ms_ = step_ms_ == 0 ? ms : step_ms_ + 0.1 * (std::min(ms, 2 * step_ms_) - step_ms_);
    for (Active& one : active) {
      const bool full = static_cast<int>(one.proposal->draft.size()) >= one.proposal->max_draft;
      if (one.took && !full && one.proposal->budget->WorthDrafting(step_ms_))
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
