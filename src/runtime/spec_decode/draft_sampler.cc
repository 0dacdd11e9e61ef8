#include "runtime/spec_decode/draft_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/kernels/kernels.h"
#include "runtime/sampling/logit_scan.h"

namespace hearth {

// Noise belongs to ids, so a head over a part of the vocabulary is spread out.
DraftLogits::DraftLogits(const Decoder& decoder) : decoder_(decoder) {
  if (decoder.head_ids().empty()) {
    num_tokens_ = decoder.num_logits();
    return;
  }
  num_tokens_ = static_cast<size_t>(decoder.hparams().vocab_size);
  all_.assign(num_tokens_, -std::numeric_limits<float>::infinity());
}

void DraftLogits::Set(const float* logits) {
  head_ = {logits, decoder_.num_logits()};
  if (all_.empty()) return;
  const std::span<const TokenId> ids = decoder_.head_ids();
  for (size_t i = 0; i < head_.size(); ++i) all_[ids[i]] = head_[i];
}

void DraftSampler::Follow(const Proposal& proposal, size_t num_tokens) {
  if (!sampler_) {
    SamplingOptions options = *proposal.sampling;
    options.num_top_logprobs = -1;
    std::erase_if(options.logit_bias,
                  [&](const auto& bias) { return static_cast<size_t>(bias.first) >= num_tokens; });
    sampler_ = std::make_unique<Sampler>(options, static_cast<int>(num_tokens), proposal.tokens);
    num_followed_ = proposal.tokens.size();
  }
  for (; num_followed_ < proposal.tokens.size(); ++num_followed_) {
    const TokenId token = proposal.tokens[num_followed_];
    if (static_cast<size_t>(token) < num_tokens) sampler_->Accept(token);
  }
}

std::pair<TokenId, float> DraftSampler::Choose(const DraftLogits& logits, int64_t position) {
  const std::span<const float> by_id = logits.by_id(), head = logits.of_head();
  const TokenId token = sampler_->Sample(by_id, position).id;
  const float largest = head[static_cast<size_t>(Argmax(head))];
  const double sum = Kernels().sum_exp(head.data(), static_cast<int>(head.size()), largest);
  return {token, static_cast<float>(std::exp(static_cast<double>(by_id[token]) - largest) / sum)};
}

}  // namespace hearth
