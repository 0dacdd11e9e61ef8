#pragma once
// Hyperparameters of a decoder, each with its GGUF key ("%s" is the architecture) and its Hugging
// Face name.

#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/gguf/gguf.h"

namespace hearth {

struct HParams {
  std::string architecture;  // general.architecture                      model_type
  int num_layers = 0;        // %s.block_count                            num_hidden_layers
  int hidden_size = 0;       // %s.embedding_length                       hidden_size
  int num_heads = 0;         // %s.attention.head_count                   num_attention_heads
  int num_kv_heads = 0;      // %s.attention.head_count_kv                num_key_value_heads
  int head_dim = 0;          // %s.attention.key_length                   head_dim
  int ffn_size = 0;          // %s.feed_forward_length                    intermediate_size
  int vocab_size = 0;        // rows of token_embd.weight                 vocab_size
  int context_length = 0;    // %s.context_length                         max_position_embeddings
  float norm_eps = 0;        // %s.attention.layer_norm_rms_epsilon       rms_norm_eps
  float rope_theta = 10000;  // %s.rope.freq_base                         rope_theta
  // %s.rope.dimension_count                   head_dim * partial_rotary_factor
  int rope_dim = 0;
  float rope_linear_factor = 1;  // %s.rope.scaling.factor, type linear       rope_scaling.factor
  int sliding_window = 0;  // %s.attention.sliding_window               sliding_window; 0: none
};

// Reads and checks what every decoder needs. Errors: kNotFound and kCorrupt naming the key and the
// value; kUnsupported for experts, per-layer head counts and RoPE scaling other than linear and
// Llama 3's.
Result<HParams> ReadHParams(const GgufFile& file);

}  // namespace hearth
