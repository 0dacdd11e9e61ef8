#pragma once
// Writes small GGUF models with random weights, for tests: every architecture and tensor type
// without a real file at hand. Their text is bytes: token b is byte b, followed by a few special
// tokens. (bert's is words of one letter.)

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/quant/tensor_type.h"

namespace hearth::testing {

struct TinyModelOptions {
  std::string architecture = "llama";  // llama, qwen2, qwen3, gemma3, bert
  TensorType type = TensorType::kQ8_0;
  TensorType head_type = TensorType::kQ8_0;
  int num_layers = 2;
  int hidden_size = 64;
  int num_heads = 4;
  int num_kv_heads = 2;
  int head_dim = 32;
  int ffn_size = 96;
  int context_length = 512;
  int sliding_window = 0;     // gemma3
  bool tied = true;           // no output.weight
  bool rope_factors = false;  // llama 3's rope_freqs.weight
  uint64_t seed = 1;
  std::string first_token;  // spelling of token 0; empty: that of byte 0
  // Not empty: a draft head that reads these layers of a base of the same sizes, without embeddings
  // and tokenizer.
  std::vector<int> tap_layers;
  // Not empty: the LM head (its own) covers these tokens alone.
  std::vector<int> head_ids;
  // Matrices go through their type and are stored in F32: the same values, for float references.
  bool dequantized = false;
  bool adds_bos = false;
  int max_tokens = 0;                      // bert's hearth.embedding.max_tokens; 0: no such key
  std::vector<std::string> extra_tensors;  // names of vectors that no graph has
  std::string chat_template =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
};

inline constexpr int kTinyEndOfText = 256;    // <|endoftext|>, also BOS
inline constexpr int kTinyStartOfTurn = 257;  // <|im_start|>
inline constexpr int kTinyEndOfTurn = 258;    // <|im_end|>
inline constexpr int kTinyVocabSize = 259;

Status WriteTinyModel(const std::string& path, const TinyModelOptions& options = {});

}  // namespace hearth::testing
