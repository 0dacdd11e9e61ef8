#pragma once
// config.json of a Hugging Face model -> the hyperparameters of a GGUF file, and the names of its
// tensors.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kit/json_file.h"
#include "runtime/gguf/gguf_writer.h"

namespace hearth {

struct ModelConfig {
  std::string architecture;  // GGUF's: llama, qwen2, qwen3, gemma3, bert
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  bool tied = false;                // the head is the embedding
  std::vector<float> rope_factors;  // Llama 3's, one per pair of dimensions
};

// What sentence-transformers keeps beside a bert's own config.
struct SentenceSettings {
  int pooling = 1;  // 1 mean, 2 CLS
  std::optional<double>
      max_tokens;  // texts are cut off there; may be more than the model has places
};

// Reads the config, sets the hyperparameters in `writer`.
Result<ModelConfig> SetHyperparameters(const Json& config, const SentenceSettings& sentence,
                                       GgufWriter& writer);

// What becomes of a tensor.
struct TensorPlan {
  std::string name;  // in the GGUF file
  enum class Change { kNone, kPermuteQuery, kPermuteKey, kAddOne } change = Change::kNone;
};
// Nothing for a tensor that the model does not need. Errors: kUnsupported for one we do not know.
Result<std::optional<TensorPlan>> PlanTensor(const ModelConfig& model, std::string_view name);

}  // namespace hearth
