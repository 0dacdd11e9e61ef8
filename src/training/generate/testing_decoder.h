#pragma once
// For tests: a small random decoder, and what it writes without a cache.

#include <cstdint>
#include <vector>

#include "training/model/decoder.h"

namespace hearth::forge {

inline DecoderConfig TinyConfig() {
  DecoderConfig config;
  config.architecture = "llama";
  config.num_layers = 2;
  config.hidden_size = 32;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  config.ffn_size = 48;
  config.vocab_size = 61;
  config.context_length = 128;
  config.tied_head = true;
  return config;
}

// Larger weights than a fresh model's, so that it does not say the same token for ever.
inline Decoder TinyDecoder(uint64_t seed) {
  Decoder decoder = Decoder::Random(TinyConfig(), {}, seed);
  for (const NamedTensor& parameter : decoder.Parameters()) {
    Tensor tensor = parameter.tensor;
    if (tensor.dim() == 2) tensor.mul_(10);
  }
  return decoder;
}

// The `count` likeliest tokens behind `tokens`, each by a pass over all before it.
inline std::vector<int32_t> GreedyWithoutCache(const Decoder& decoder, std::vector<int32_t> tokens,
                                               int64_t count) {
  const size_t prompt = tokens.size();
  for (int64_t i = 0; i < count; ++i) {
    const Tensor all = at::tensor(std::vector<int64_t>(tokens.begin(), tokens.end()), at::kLong);
    const auto layout = SegmentLayout::Make({all.size(0)}, at::kCPU);
    const Tensor hidden = decoder.Forward(all, layout).hidden;
    tokens.push_back(decoder.Logits(hidden.narrow(0, all.size(0) - 1, 1)).argmax().item<int32_t>());
  }
  return {tokens.begin() + static_cast<ptrdiff_t>(prompt), tokens.end()};
}

}  // namespace hearth::forge
