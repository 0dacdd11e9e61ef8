#pragma once
// For tests: the shape of a small decoder.

#include <string>

#include "training/model/decoder.h"

namespace hearth::forge {

inline DecoderConfig TinyConfig(const std::string& architecture = "llama", bool tied = true) {
  DecoderConfig config;
  config.architecture = architecture;
  config.num_layers = 3;
  config.hidden_size = 32;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  config.ffn_size = 48;
  config.vocab_size = 61;
  config.context_length = 128;
  config.qkv_bias = architecture == "qwen2";
  config.tied_head = tied;
  return config;
}

}  // namespace hearth::forge
