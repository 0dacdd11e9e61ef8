#pragma once
// For this folder's tests: the tiny golden models as decoders, adapters that do something, logits.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/check.h"
#include "kit/testing/scratch_folder.h"
#include "training/export/adapter.h"

namespace hearth::forge::testing {

inline const std::string kGoldenModels = hearth::testing::kConvertGoldens;

inline Decoder LoadDecoder(const std::string& path) {
  auto decoder = Decoder::Load(path, {});
  if (!decoder) ADD_FAILURE() << path << ": " << decoder.error().message;
  HEARTH_CHECK(decoder.has_value());
  return std::move(*decoder);
}

// Attaches an adapter whose B is not zero.
inline void AttachWorkingLora(Decoder& decoder, const LoraOptions& options, uint64_t seed = 5) {
  const Status attached = decoder.AttachLora(options, seed);
  ASSERT_TRUE(attached) << attached.error().message;
  const at::NoGradGuard guard;
  SeedGenerator(at::kCPU, seed);
  for (const NamedTensor& parameter : decoder.LoraParameters()) {
    Tensor tensor = parameter.tensor;
    tensor.copy_(at::randn(tensor.sizes()).mul_(0.1));
  }
}

// 1 from the last occurrence of the invocation on; all 1 without one.
inline Tensor AdapterMask(const std::vector<int64_t>& tokens,
                          const std::vector<int32_t>& invocation) {
  std::vector<int64_t> mask(tokens.size(), invocation.empty() ? 1 : 0);
  if (!invocation.empty()) {
    const auto found =
        std::find_end(tokens.begin(), tokens.end(), invocation.begin(), invocation.end());
    std::fill(mask.begin() + (found - tokens.begin()), mask.end(), 1);
  }
  return at::tensor(mask, at::kLong);
}

// [tokens, vocab_size], with the adapter that is attached.
inline Tensor LogitsOf(const Decoder& decoder, const std::vector<int64_t>& tokens) {
  const at::NoGradGuard guard;
  ForwardOptions options;
  if (decoder.lora() != nullptr)
    options.adapter_mask = AdapterMask(tokens, decoder.lora()->invocation_tokens);
  const auto segments =
      SegmentLayout::Make({static_cast<int64_t>(tokens.size())}, decoder.device());
  return decoder.Logits(decoder.Forward(at::tensor(tokens, at::kLong), segments, options).hidden);
}

inline double Difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a - b).abs().max().item<double>();
}

}  // namespace hearth::forge::testing
