#pragma once
// The parts of a decoder: linears that may carry an adapter, norms, rotary positions, attention
// with and without a cache, one decoder layer. Free functions over plain structs of tensors, for
// the decoder itself and for heads that borrow its layers. Rows are tokens of packed sequences:
// [num_tokens, ...], no batch dimension, no padding.
// Threads: one at a time.

#include <functional>
#include <optional>
#include <vector>

#include "training/model/decoder_config.h"
#include "training/model/torch_compat.h"

namespace hearth::forge {

// y += scale * B(A(dropout(x))), where the mask is 1.
struct Lora {
  Tensor a;  // [rank, inputs]
  Tensor b;  // [outputs, rank]
  double scale = 1;
  double dropout = 0;
};

struct Linear {
  Tensor weight;  // [outputs, inputs]
  Tensor bias;    // [outputs] or undefined
  std::optional<Lora> lora;
};

// How sequences lie in the rows of a pass.
struct SegmentLayout {
  std::vector<int64_t> lengths;  // of the segments, in order
  int64_t max_length = 0;
  Tensor cu_lengths;  // int32 [segments + 1]: where each begins, on the device
  Tensor positions;   // int64 [num_tokens]: restart in each segment

  static SegmentLayout Make(const std::vector<int64_t>& lengths, const at::Device& device);
};

// Cosines and sines of the rows' positions, [num_tokens, 1, head_dim / 2], of the compute type (as
// transformers has it).
struct Rotary {
  Tensor cosine, sine;
};
// Divisors applied; [head_dim / 2], FP32.
Tensor RotaryFrequencies(const DecoderConfig& config, const at::Device& device);
Rotary MakeRotary(const Tensor& frequencies, const Tensor& positions, at::ScalarType dtype);

class KvCache;

// What a pass hands to its layers.
struct LayerContext {
  const DecoderConfig* config = nullptr;
  Rotary rotary;
  const SegmentLayout* segments = nullptr;  // without a cache: how the rows are packed
  KvCache* cache = nullptr;                 // with one: rows are [batch * new_tokens]
  int cache_layer = 0;
  Tensor adapter_mask;        // [num_tokens, 1] of the compute type; undefined: adapters everywhere
  bool use_adapters = true;   // false: the base alone, whatever is attached
  bool training = false;      // dropout
  uint64_t dropout_seed = 0;  // of this pass; layers add their place
};

struct DecoderLayerWeights {
  Tensor attention_norm, ffn_norm;  // [hidden_size]
  Linear query, key, value, output, gate, up, down;
};

// `place` tells dropout masks of one pass apart.
Tensor ApplyLinear(const Linear& linear, const Tensor& x, const LayerContext& context,
                   uint64_t place = 0);
Tensor RmsNorm(const Tensor& x, const Tensor& weight, double eps);
// x [num_tokens, heads, head_dim], pairs (i, i + half).
Tensor ApplyRotary(const Tensor& x, const Rotary& rotary);
// x [num_tokens, inputs] (already normed) -> [num_tokens, hidden_size]. `layer` is the place.
Tensor Attention(const DecoderLayerWeights& weights, const Tensor& x, const LayerContext& context,
                 uint64_t layer);
Tensor FeedForward(const DecoderLayerWeights& weights, const Tensor& x, const LayerContext& context,
                   uint64_t layer);
// Hidden state in, hidden state out: both residual branches.
Tensor RunLayer(const DecoderLayerWeights& weights, const Tensor& x, const LayerContext& context,
                uint64_t layer);

// Runs `body(x)` without keeping what its backward pass needs; that pass runs it again. Leaves
// that body uses get their gradients as always. Requires: body draws no state from outside that
// changes in between.
Tensor Checkpointed(const std::function<Tensor(const Tensor&)>& body, const Tensor& x);

}  // namespace hearth::forge
