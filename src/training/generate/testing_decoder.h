#pragma once
// For tests: a small random decoder, and what it writes without a cache.

#include <cstdint>
#include <vector>

#include "training/model/decoder.h"
#include "training/model/testing_config.h"

namespace hearth::forge {

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
