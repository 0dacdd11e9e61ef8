#pragma once
// A llama or qwen2 decoder in libtorch that mirrors runtime/model: for training (full weights or
// adapters), as a live teacher, and for generating what a model writes itself.
//
// Rows are tokens of packed sequences, [num_tokens, hidden_size]; there is no padding. The head is
// apart (head_weight()), since the losses never make all logits at once.
// Threads: one at a time.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "training/model/decoder_config.h"
#include "training/model/kv_cache.h"
#include "training/model/layers.h"
#include "training/model/torch_compat.h"

namespace hearth::forge {

// A parameter by its Hugging Face name ("model.layers.0.self_attn.q_proj.weight"), or PEFT's
// ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight").
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// GGUF's name of a base's parameter ("blk.0.attn_q.weight"); empty for what has none. Queries and
// keys of llama lie there permuted: see load.cc.
std::string GgufNameOf(const std::string& name);

struct LoraOptions {
  int64_t rank = 16;
  double alpha = 32;
  bool rs_lora = true;  // scale alpha / sqrt(rank) instead of alpha / rank
  double dropout = 0;
  // Of q_proj k_proj v_proj o_proj gate_proj up_proj down_proj; empty: all seven.
  std::vector<std::string> targets;
  // Activated LoRA: the tokens from whose last occurrence on the adapter works; empty: a plain one.
  std::vector<int32_t> invocation_tokens;

  double scale() const;
};

struct DecoderOptions {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
};

struct ForwardOptions {
  // Hidden states wanted behind these layers (0 to num_layers - 1), without the final norm.
  std::vector<int> taps;
  bool checkpoint = false;  // recompute layers in the backward pass instead of keeping them
  bool training = false;    // dropout
  bool use_adapters = true;
  Tensor adapter_mask;        // [num_tokens] 1 and 0, any type; undefined: everywhere
  uint64_t dropout_seed = 0;  // of this pass
};

struct ForwardResult {
  Tensor hidden;             // [num_tokens, hidden_size] behind the final norm: what the head reads
  Tensor raw;                // before it
  std::vector<Tensor> taps;  // as asked for, [num_tokens, hidden_size]
};

class Decoder {
 public:
  // Random weights (normal, 0.02, as Hugging Face initialises), the same for the same seed.
  static Decoder Random(const DecoderConfig& config, const DecoderOptions& options, uint64_t seed);
  // A GGUF file of any tensor type, or a Hugging Face folder with safetensors. Errors: those of the
  // files; kCorrupt naming a tensor that is missing or misshapen.
  static Result<Decoder> Load(const std::string& path, const DecoderOptions& options);

  const DecoderConfig& config() const { return config_; }
  at::Device device() const { return embedding_.device(); }
  at::ScalarType dtype() const { return embedding_.scalar_type(); }

  // Tokens int64 [num_tokens] on the device.
  ForwardResult Forward(const Tensor& tokens, const SegmentLayout& segments,
                        const ForwardOptions& options = {}) const;
  // The next tokens of every row of a cache: [batch, new_tokens] int64 -> hidden states
  // [batch * new_tokens, hidden_size]. Rows that get fewer are padded with anything; `counts` says
  // how many are real (KvCache::Commit). No gradients.
  ForwardResult Forward(const Tensor& tokens, KvCache& cache, const Tensor& counts = {},
                        const ForwardOptions& options = {}) const;
  KvCache MakeCache(int64_t batch, int64_t capacity) const;

  Tensor Embed(const Tensor& tokens) const { return at::embedding(embedding_, tokens); }
  // hidden [n, hidden_size] -> [n, vocab_size]. For few rows; losses go by chunks.
  Tensor Logits(const Tensor& hidden) const { return at::linear(hidden, head_weight()); }

  const Tensor& embedding() const { return embedding_; }
  const Tensor& head_weight() const { return config_.tied_head ? embedding_ : head_; }
  const Tensor& final_norm() const { return final_norm_; }
  const Tensor& rotary_frequencies() const { return frequencies_; }
  const std::vector<DecoderLayerWeights>& layers() const { return layers_; }

  // The base's parameters in a fixed order, without the adapter's. The tensors share memory with
  // the decoder's; a tied head is not listed.
  std::vector<NamedTensor> Parameters() const;
  int64_t num_parameters() const;
  // Whether the base's parameters collect gradients (they do not after loading).
  void SetBaseTrainable(bool trainable);

  // Attaches an adapter (A random, B zero; a function of the seed alone) whose tensors collect
  // gradients. Errors: kInvalidArgument for options that make no sense, naming the field.
  Status AttachLora(const LoraOptions& options, uint64_t seed);
  void DetachLora();
  const LoraOptions* lora() const { return lora_ ? &*lora_ : nullptr; }
  std::vector<NamedTensor> LoraParameters() const;
  // Adds the adapter to the weights and detaches it. Requires: one that is not activated.
  void MergeLora();

 private:
  Decoder() = default;
  // Calls visit(name, tensor) for each parameter of the base, in order.
  template <typename Visit>
  void ForEachParameter(Visit visit);
  template <typename Visit>
  void ForEachLinear(Visit visit);
  void Allocate(const DecoderOptions& options);
  Status LoadFolder(const std::string& path, const DecoderOptions& options);
  Status LoadGguf(const std::string& path, const DecoderOptions& options);
  ForwardResult Run(Tensor x, LayerContext context, const ForwardOptions& options) const;

  DecoderConfig config_;
  Tensor embedding_, final_norm_, head_, frequencies_;
  std::vector<DecoderLayerWeights> layers_;
  std::optional<LoraOptions> lora_;
};

}  // namespace hearth::forge
