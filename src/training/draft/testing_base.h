#pragma once
// For tests: small random bases whose mistakes show.

#include <vector>

#include "training/data/batch.h"
#include "training/draft/draft.h"

namespace hearth::forge {

inline DecoderConfig TinyBaseConfig(const std::string& architecture = "llama") {
  DecoderConfig config;
  config.architecture = architecture;
  config.num_layers = 3;
  config.hidden_size = 32;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  config.ffn_size = 64;
  config.vocab_size = 61;
  config.context_length = 128;
  config.qkv_bias = architecture == "qwen2";
  config.tied_head = true;
  return config;
}

// Larger weights than a fresh model's: attention then looks at something.
inline void Stir(const std::vector<NamedTensor>& parameters, double factor) {
  for (const NamedTensor& parameter : parameters) {
    Tensor tensor = parameter.tensor;
    if (tensor.dim() == 2) {
      tensor.mul_(factor);
    } else {
      tensor.add_(at::randn(tensor.sizes()).mul_(0.1));
    }
  }
}

inline Decoder TinyBase(const std::string& architecture = "llama") {
  Decoder base = Decoder::Random(TinyBaseConfig(architecture), {}, 7);
  Stir(base.Parameters(), 8);
  return base;
}

inline Tensor TestTokens(const std::vector<int64_t>& lengths) {
  int64_t count = 0;
  for (const int64_t length : lengths) count += length;
  return at::arange(count, at::TensorOptions().dtype(at::kLong)).mul(17).add(3).remainder(61);
}

// Every token but a segment's first is learned.
inline Batch TestBatch(const std::vector<int32_t>& lengths) {
  Batch batch;
  batch.segment_lengths = lengths;
  for (const int32_t length : lengths) {
    for (int32_t i = 0; i < length; ++i) {
      batch.tokens.push_back((i * i + 5 * i + length) % 13);
      batch.targets.push_back(i + 1 < length ? ((i + 1) * (i + 1) + 5 * (i + 1) + length) % 13 : 0);
      batch.weights.push_back(i + 1 < length ? 1.0f : 0.0f);
    }
  }
  return batch;
}

inline std::vector<int32_t> AllTokens(int32_t count) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < count; ++id) ids.push_back(id);
  return ids;
}

}  // namespace hearth::forge
