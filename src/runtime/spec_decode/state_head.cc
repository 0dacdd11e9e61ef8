#include "runtime/spec_decode/state_head.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "runtime/kernels/kernels.h"
#include "runtime/model/tensor_finder.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kTapLayersKey = "hearth.head.tap_layers";
constexpr size_t kMaxTapLayers = 8;
// States kept for a sequence that has not been asked about yet: the last part of a long prompt.
constexpr int kMaxPending = 1024;

int BlocksFor(int num_slots) { return (num_slots + kKvBlockTokens - 1) / kKvBlockTokens; }

Status CheckEqual(const char* what, int head, int base) {
  if (head == base) return {};
  return MakeError(ErrorCode::kInvalidArgument,
                   "this draft head was made for another model: " + std::string(what) + " is " +
                       std::to_string(head) + " there and " + std::to_string(base) + " here");
}

}  // namespace

bool StateHead::IsOne(const GgufFile& file) { return file.Has(kTapLayersKey); }

Result<std::unique_ptr<StateHead>> StateHead::Load(GgufFile file, Decoder& base,
                                                   const GgufFile& base_file, ThreadPool& pool,
                                                   const StateHeadOptions& options) {
  std::unique_ptr<StateHead> head(new StateHead(std::move(file), base, pool, options));
  HEARTH_ASSIGN_OR_RETURN(const auto* layers, head->file_.GetIntArray(kTapLayersKey));
  if (layers->empty() || layers->size() > kMaxTapLayers) {
    return MakeError(ErrorCode::kCorrupt, std::string(kTapLayersKey) + " names " +
                                              std::to_string(layers->size()) + " layers");
  }
  for (const int64_t layer : *layers) {
    if (layer < 0 || layer >= base.hparams().num_layers) {
      return MakeError(ErrorCode::kInvalidArgument, std::string(kTapLayersKey) + " names layer " +
                                                        std::to_string(layer) + ", the model has " +
                                                        std::to_string(base.hparams().num_layers));
    }
    head->tap_layers_.push_back(static_cast<int>(layer));
  }
  DecoderOptions decoder_options;
  decoder_options.max_batch_tokens =
      std::max(options.max_batch_tokens, options.max_sequences * static_cast<int>(kMaxBeside));
  decoder_options.max_logits = options.max_sequences;
  decoder_options.integer_activations = options.integer_activations;
  decoder_options.embedding_file = &base_file;
  decoder_options.image = options.image;
  head->options_.max_batch_tokens = decoder_options.max_batch_tokens;
  HEARTH_ASSIGN_OR_RETURN(head->decoder_, Decoder::Load(head->file_, pool, decoder_options));
  HEARTH_RETURN_IF_ERROR(CheckEqual("the hidden size", head->decoder_->hparams().hidden_size,
                                    base.hparams().hidden_size));
  HEARTH_RETURN_IF_ERROR(CheckEqual("the number of tokens", head->decoder_->hparams().vocab_size,
                                    base.hparams().vocab_size));
  HEARTH_RETURN_IF_ERROR(head->LoadWeights(options.image));
  base.SetTapLayers(head->tap_layers_);
  return head;
}

Status StateHead::LoadWeights(const WeightImageOptions& image) {
  const int hidden = decoder_->hparams().hidden_size;
  TensorFinder find(file_);
  HEARTH_RETURN_IF_ERROR(find.Need("hearth.head.fuse.weight", hidden, StateSize(), &fuse_));
  HEARTH_RETURN_IF_ERROR(find.Need("hearth.head.join.weight", hidden, 2 * hidden, &join_));
  HEARTH_RETURN_IF_ERROR(find.Need("hearth.head.token_norm.weight", hidden, &token_norm_));
  HEARTH_RETURN_IF_ERROR(find.Need("hearth.head.state_norm.weight", hidden, &state_norm_));
  WeightImageOptions memory = image;
  memory.use_disk = false;  // two small matrices
  HEARTH_ASSIGN_OR_RETURN(image_, WeightImage::Open(file_, find.matrices(), *pool_, memory));
  for (size_t i = 0; i < find.targets().size(); ++i) *find.targets()[i] = image_.matrix(i);

  logits_ = std::make_unique<DraftLogits>(*decoder_);
  const int rows = options_.max_batch_tokens;
  fuse_in_.Reserve(rows, StateSize(), options_.integer_activations);
  join_in_.Reserve(rows, 2 * hidden, options_.integer_activations);
  fused_.resize(static_cast<size_t>(rows) * static_cast<size_t>(fuse_.padded_rows()));
  inputs_.resize(static_cast<size_t>(rows) * static_cast<size_t>(join_.padded_rows()));
  scratch_ = std::make_unique<MatmulScratch>(pool_->size(), std::max(StateSize(), 2 * hidden));
  return {};
}

int64_t StateHead::kv_bytes_per_block() const {
  return decoder_->kv_shape(options_.kv_storage).bytes_per_block();
}

Status StateHead::ReserveKv(int num_blocks) {
  HEARTH_CHECK(options_.kv_storage != KvStorage::kInt4);
  HEARTH_ASSIGN_OR_RETURN(
      KvCacheStorage kv,
      KvCacheStorage::Create(decoder_->kv_shape(options_.kv_storage), num_blocks));
  kv_ = std::make_unique<KvCacheStorage>(std::move(kv));
  blocks_ = std::make_unique<BlockPool>(num_blocks);
  return {};
}

int StateHead::StateSize() const {
  return static_cast<int>(tap_layers_.size()) * base_.hparams().hidden_size;
}

int64_t StateHead::weight_bytes() const {
  int64_t bytes = decoder_->weight_bytes();
  for (const Matrix* matrix : {&fuse_, &join_})
    bytes += static_cast<int64_t>(matrix->strip_bytes) * matrix->num_strips();
  return bytes;
}

void StateHead::Reset(Sequence& sequence, int first) {
  for (auto it = sequence.blocks.rbegin(); it != sequence.blocks.rend(); ++it)
    blocks_->Release(*it);
  sequence.blocks.clear();
  sequence.states.clear();
  sequence.num_computed = 0;
  sequence.first = first;
}

void StateHead::Observe(std::span<const ObservedSlice> slices) {
  const auto size = static_cast<size_t>(StateSize());
  for (const ObservedSlice& slice : slices) {
    Sequence& sequence = sequences_[slice.sequence];
    const int known = sequence.first + sequence.num_computed;
    const int pending = static_cast<int>(sequence.states.size() / size);
    int skip = 0;
    if (sequence.first < 0 || slice.start < known || slice.start > known + pending ||
        slice.start - known + slice.count > kMaxPending) {
      // New, computed again, or too long to keep: the head begins here.
      skip = std::max(0, slice.count - kMaxPending);
      Reset(sequence, slice.start + skip);
    } else {
      // Guesses that proved wrong are replaced.
      sequence.states.resize(static_cast<size_t>(slice.start - known) * size);
    }
    for (int row = skip; row < slice.count; ++row) {
      for (size_t layer = 0; layer < tap_layers_.size(); ++layer) {
        const auto tap = base_.tap(static_cast<int>(layer), slice.first_row + row);
        sequence.states.insert(sequence.states.end(), tap.begin(), tap.end());
      }
    }
  }
}

// fused[i] = fuse * taps[i], for up to max_batch_tokens rows.
void StateHead::Fuse(std::span<const float> taps, int count, std::vector<float>* fused) {
  const auto size = static_cast<size_t>(StateSize());
  const auto hidden = static_cast<size_t>(decoder_->hparams().hidden_size);
  fuse_in_.Shape(count, StateSize());
  const MatmulJob jobs[] = {{&fuse_, fused_.data(), static_cast<size_t>(fuse_.padded_rows())}};
  pool_->Run([&](Worker& worker) {
    worker.ForEach(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::copy_n(&taps[static_cast<size_t>(i) * size], size, fuse_in_.row(static_cast<int>(i)));
        fuse_in_.Quantize(static_cast<int>(i));
      }
    });
    worker.Barrier();
    RunMatmuls(worker, jobs, fuse_in_, *scratch_);
  });
  for (int i = 0; i < count; ++i) {
    const float* row = &fused_[static_cast<size_t>(i) * static_cast<size_t>(fuse_.padded_rows())];
    fused->insert(fused->end(), row, row + hidden);
  }
}

// Makes ready what has to be computed before the first guess. False: no states, or no room.
bool StateHead::Start(Proposal& proposal, Active& active) {
  const auto found = sequences_.find(proposal.sequence);
  if (found == sequences_.end() || found->second.first < 0) return false;
  Sequence& sequence = found->second;
  const auto size = static_cast<size_t>(StateSize());
  // The last token has no state yet, the one before it is what the first guess is made from.
  const int num_slots = static_cast<int>(proposal.tokens.size()) - 1 - sequence.first;
  const int pending = num_slots - sequence.num_computed;
  if (pending <= 0 || sequence.states.size() < static_cast<size_t>(pending) * size) return false;
  while (static_cast<int>(sequence.blocks.size()) < BlocksFor(num_slots + proposal.max_draft)) {
    const std::optional<BlockId> block = blocks_->Allocate();
    if (!block) return false;
    sequence.blocks.push_back(*block);
  }
  sequence.sampler.Follow(proposal, logits_->num_tokens());
  active = {&proposal, &sequence, sequence.num_computed, {}, {}, false};
  const int rows = options_.max_batch_tokens;
  for (int done = 0; done < pending;) {
    // Long stretches are computed in passes of their own, all but the last slot.
    const bool beside = static_cast<size_t>(pending - done) <= kMaxBeside;
    const int count = beside ? pending - done : std::min(rows, pending - done - 1);
    const auto first = proposal.tokens.begin() + sequence.first + active.start + 1;
    active.pending.assign(first, first + count);
    active.states.clear();
    Fuse(std::span(sequence.states)
             .subspan(static_cast<size_t>(done) * size, static_cast<size_t>(count) * size),
         count, &active.states);
    done += count;
    if (done < pending) {
      RunPass({&active, 1}, 0);
      active.start += count;
    }
  }
  sequence.num_computed = num_slots;
  sequence.states.clear();
  return true;
}

// One pass over the pending slots; with num_outputs 1 the last of each gives an output.
void StateHead::RunPass(std::span<Active> active, int num_outputs) {
  const auto hidden = static_cast<size_t>(decoder_->hparams().hidden_size);
  const float eps = decoder_->hparams().norm_eps;
  std::vector<std::pair<const Active*, size_t>> rows;
  for (const Active& one : active) {
    for (size_t i = 0; i < one.pending.size(); ++i) rows.emplace_back(&one, i);
  }
  const auto count = static_cast<int>(rows.size());
  join_in_.Shape(count, static_cast<int>(2 * hidden));
  const auto stride = static_cast<size_t>(join_.padded_rows());
  const MatmulJob jobs[] = {{&join_, inputs_.data(), stride}};
  pool_->Run([&](Worker& worker) {
    worker.ForEach(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto [one, index] = rows[static_cast<size_t>(i)];
        float* row = join_in_.row(static_cast<int>(i));
        base_.Embed(one->pending[index], {row, hidden});
        Kernels().rms_norm(row, token_norm_.data(), eps, static_cast<int>(hidden), row);
        Kernels().rms_norm(&one->states[index * hidden], state_norm_.data(), eps,
                           static_cast<int>(hidden), row + hidden);
        join_in_.Quantize(static_cast<int>(i));
      }
    });
    worker.Barrier();
    RunMatmuls(worker, jobs, join_in_, *scratch_);
  });
  HEARTH_CHECK(stride == hidden);  // hidden sizes are multiples of 32
  std::vector<SequenceSlice> slices;
  size_t first_row = 0;
  for (const Active& one : active) {
    slices.push_back(
        {one.pending, one.start, one.sequence->blocks, num_outputs, &inputs_[first_row * stride]});
    first_row += one.pending.size();
  }
  decoder_->Forward(slices, *kv_);
}

// Of a guess in a pass for so many sequences.
DraftCost StateHead::Cost(size_t num_sharing) const {
  const auto count = static_cast<int>(num_sharing);
  return {costs_known_ ? costs_.Ms(count) : 0, count, 0};
}

void StateHead::Propose(std::span<Proposal*> proposals) {
  std::vector<Active> active;
  const size_t most = std::min(proposals.size(), static_cast<size_t>(options_.max_sequences));
  for (Proposal* proposal : proposals) {
    if (active.size() == most) break;
    Active one;
    if (!proposal->budget->WorthDrafting(Cost(most)) || !Start(*proposal, one)) continue;
    active.push_back(std::move(one));
  }
  while (!active.empty()) {
    const Clock::time_point begin = Clock::now();
    int num_tokens = 0;
    for (const Active& one : active) num_tokens += static_cast<int>(one.pending.size());
    RunPass(active, 1);
    const float* logits = decoder_->Logits(0, static_cast<int>(active.size()));
    size_t num_took = 0;
    for (size_t i = 0; i < active.size(); ++i) {
      Active& one = active[i];
      Proposal& proposal = *one.proposal;
      logits_->Set(logits + i * decoder_->logits_stride());
      const auto [token, confidence] = one.sequence->sampler.Choose(
          *logits_, static_cast<int64_t>(proposal.tokens.size() + proposal.draft.size()));
      one.took = proposal.budget->Take(confidence);
      if (!one.took) continue;
      ++num_took;
      proposal.draft.push_back(token);
      one.start += static_cast<int>(one.pending.size());
      one.pending = {token};
      // Its own output stands in for the state that the base has not computed.
      const std::span<const float> state = decoder_->raw_output(static_cast<int>(i));
      one.states.assign(state.begin(), state.end());
    }
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    costs_.Record(num_tokens, ms);
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

void StateHead::Forget(uint64_t sequence) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return;
  Reset(found->second, -1);
  sequences_.erase(found);
}

}  // namespace hearth
