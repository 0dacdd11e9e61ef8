#pragma once
// Sizes and constants of a decoder that the forge can train, read from a GGUF file or a Hugging
// Face config.json. No torch. Threads: plain data.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/gguf/gguf.h"

namespace hearth::forge {

struct DecoderConfig {
  std::string architecture;  // "llama" or "qwen2"
  int64_t num_layers = 0;
  int64_t hidden_size = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_size = 0;
  int64_t vocab_size = 0;
  int64_t context_length = 0;
  double norm_eps = 1e-6;
  double rope_theta = 10000;
  double rope_linear_factor = 1;
  std::vector<float> rope_factors;  // [head_dim / 2] divisors of the frequencies; empty: none
  bool qkv_bias = false;            // qwen2
  bool tied_head = false;           // the LM head is the embedding

  int64_t query_size() const { return num_heads * head_dim; }
  int64_t kv_size() const { return num_kv_heads * head_dim; }
};

// Errors: kNotFound and kCorrupt naming the key and the value, kUnsupported for other
// architectures, partial rotary embeddings, sliding windows, experts.
Result<DecoderConfig> ConfigFromGguf(const GgufFile& file);
// `folder` holds config.json.
Result<DecoderConfig> ConfigFromFolder(const std::string& folder);
// What makes two configs one model: empty, or the first field that differs, with both values.
std::string DifferenceOf(const DecoderConfig& a, const DecoderConfig& b);
// Sizes that fit together. Errors: kInvalidArgument.
Status CheckConfig(const DecoderConfig& config);

}  // namespace hearth::forge
