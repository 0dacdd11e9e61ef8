#include "runtime/spec_decode/draft_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/kernels/kernels.h"

namespace hearth {

DraftLogits::DraftLogits(const Decoder& decoder)
    : decoder_(decoder),
      num_tokens_(decoder.head_ids().empty() ? decoder.num_logits()
                                             : static_cast<size_t>(decoder.hparams().vocab_size)) {}

// Noise belongs to ids, so a head over a part of the vocabulary is spread out.
std::span<const float> DraftLogits::ById(const float* logits) {
  const std::span<const TokenId> ids = decoder_.head_ids();
  if (ids.empty()) return {logits, num_tokens_};
  all_.assign(num_tokens_, -std::numeric_limits<float>::infinity());
  for (size_t i = 0; i < decoder_.num_logits(); ++i) all_[ids[i]] = logits[i];
  return all_;
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

std::pair<TokenId, float> DraftSampler::Choose(std::span<const float> logits, int64_t position) {
  const TokenId token = sampler_->Sample(logits, position).id;
  const float largest = *std::ranges::max_element(logits);
  const double sum = Kernels().sum_exp(logits.data(), static_cast<int>(logits.size()), largest);
  return {token, static_cast<float>(std::exp(static_cast<double>(logits[token]) - largest) / sum)};
}

}  // namespace hearth
