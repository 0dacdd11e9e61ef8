#include "training/draft/draft.h"

#include <algorithm>
#include <array>
#include <utility>

#include "training/draft/fake_quant.h"
#include "training/draft/unrolled_attention.h"

namespace hearth::forge {
namespace {

tl::unexpected<Error> Wrong(const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, "draft: " + what);
}

Tensor Copy(const Tensor& tensor) { return tensor.detach().clone(); }

Linear CopyLinear(const Linear& linear) {
  return {Copy(linear.weight), linear.bias.defined() ? Copy(linear.bias) : Tensor(), std::nullopt};
}

DecoderLayerWeights CopyLayer(const DecoderLayerWeights& layer) {
  return {Copy(layer.attention_norm), Copy(layer.ffn_norm),    CopyLinear(layer.query),
          CopyLinear(layer.key),      CopyLinear(layer.value), CopyLinear(layer.output),
          CopyLinear(layer.gate),     CopyLinear(layer.up),    CopyLinear(layer.down)};
}

// Keeps the neurons whose weights, in and out, are largest together.
void PruneFfn(DecoderLayerWeights& layer, int64_t ffn_size) {
  const auto norms = [](const Tensor& x, int64_t dim) {
    return x.to(at::kFloat).square().sum(dim);
  };
  const Tensor importance =
      norms(layer.gate.weight, 1).mul(norms(layer.up.weight, 1)).mul(norms(layer.down.weight, 0));
  const Tensor kept = std::get<0>(std::get<1>(importance.topk(ffn_size)).sort());
  layer.gate.weight = layer.gate.weight.index_select(0, kept);
  layer.up.weight = layer.up.weight.index_select(0, kept);
  layer.down.weight = layer.down.weight.index_select(1, kept);
}

Tensor Normal(at::IntArrayRef shape, double deviation, const at::TensorOptions& options) {
  const Tensor drawn = at::empty(shape, at::TensorOptions().dtype(at::kFloat));
  return drawn.normal_(0, deviation).to(options);
}

// The size of the states that layer `layer` is used to, so that what it adds counts for as much as
// it did: the middle one of its inputs' root mean squares over some tokens.
double InputScale(const Decoder& base, int layer, const std::vector<int32_t>& tokens) {
  const size_t count = std::min<size_t>(tokens.size(), 256);
  const std::vector<int64_t> some(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(count));
  const Tensor ids = at::tensor(some, at::kLong).to(base.device());
  const auto layout = SegmentLayout::Make({ids.size(0)}, base.device());
  const Tensor states =
      layer == 0 ? base.Embed(ids) : base.Forward(ids, layout, {.taps = {layer - 1}}).taps[0];
  return states.to(at::kFloat).square().mean(-1).sqrt().median().item<double>();
}

Status CheckOptions(const Decoder& base, const DraftOptions& options) {
  const DecoderConfig& c = base.config();
  const auto check_layers = [&](const std::vector<int>& layers) -> Status {
    for (const int layer : layers) {
      if (layer < 0 || layer >= c.num_layers)
        return Wrong("layer " + std::to_string(layer) + " of a base with " +
                     std::to_string(c.num_layers));
    }
    return {};
  };
  HEARTH_RETURN_IF_ERROR(check_layers(options.taps));
  HEARTH_RETURN_IF_ERROR(check_layers(options.layers));
  if (options.taps.size() > 8)
    return Wrong(std::to_string(options.taps.size()) + " taps, a file holds at most 8");
  if (options.taps.empty() && options.layers.empty()) return Wrong("no layers");
  if (options.ffn_size < 0 || options.ffn_size > c.ffn_size || options.ffn_size % 32 != 0)
    return Wrong("a feed-forward size of " + std::to_string(options.ffn_size) + ", the base has " +
                 std::to_string(c.ffn_size) + "; multiples of 32 can be");
  if (options.token_ids.empty()) return Wrong("no tokens to guess");
  int32_t last = -1;
  for (const int32_t id : options.token_ids) {
    if (id <= last || id >= c.vocab_size)
      return Wrong("token " + std::to_string(id) + " after " + std::to_string(last) + ", of " +
                   std::to_string(c.vocab_size));
    last = id;
  }
  return {};
}

// What a layer keeps of the base's places and of those the head made itself.
struct LayerMemory {
  Tensor base_keys, base_values;
  std::vector<Tensor> own_keys, own_values;
};

Tensor StepLayer(const DecoderLayerWeights& weights, const Tensor& x, const LayerContext& context,
                 LayerMemory& memory, bool first) {
  const DecoderConfig& config = *context.config;
  const int64_t rows = x.size(0);
  const Tensor normed = RmsNorm(x, weights.attention_norm, config.norm_eps);
  const auto project = [&](const Linear& linear, int64_t heads) {
    return ApplyLinear(linear, normed, context).view({rows, heads, config.head_dim});
  };
  const Tensor q = ApplyRotary(project(weights.query, config.num_heads), context.rotary);
  const Tensor k = ApplyRotary(project(weights.key, config.num_kv_heads), context.rotary);
  const Tensor v = project(weights.value, config.num_kv_heads);
  const SegmentLayout& segments = *context.segments;
  Tensor attended;
  if (first) {
    memory.base_keys = k;
    memory.base_values = v;
    attended =
        PackedCausalAttention(q, k, v, segments.lengths, segments.cu_lengths, segments.max_length);
  } else {
    memory.own_keys.push_back(k);
    memory.own_values.push_back(v);
    attended =
        UnrolledAttention(q, memory.base_keys, memory.base_values, at::stack(memory.own_keys, 1),
                          at::stack(memory.own_values, 1), segments);
  }
  const Tensor middle =
      x.add(ApplyLinear(weights.output, attended.reshape({rows, config.query_size()}), context));
  return middle.add(
      FeedForward(weights, RmsNorm(middle, weights.ffn_norm, config.norm_eps), context, 0));
}

// x[i] = tokens[i + count], 0 behind the end.
Tensor Shifted(const Tensor& tokens, int64_t count) {
  const int64_t size = tokens.size(0), shift = std::min(count, size);
  return at::cat({tokens.narrow(0, shift, size - shift), at::zeros({shift}, tokens.options())});
}

int64_t Bytes(const Tensor& matrix, TensorType type) {
  const TensorTypeInfo& wanted = InfoOf(type);
  const bool fits = matrix.size(1) % wanted.block_size == 0;
  const TensorTypeInfo& info = fits ? wanted : InfoOf(TensorType::kF16);
  return matrix.numel() / info.block_size * info.block_bytes;
}

}  // namespace

std::vector<int> DefaultTaps(int64_t num_layers) {
  const auto last = static_cast<int>(num_layers) - 1;
  std::vector<int> taps = {std::min(2, last), (last + 1) / 2, last};
  taps.erase(std::unique(taps.begin(), taps.end()), taps.end());
  return taps;
}

Result<Draft> Draft::FromBase(const Decoder& base, const DraftOptions& options) {
  HEARTH_RETURN_IF_ERROR(CheckOptions(base, options));
  const at::NoGradGuard no_gradients;
  const DecoderConfig& c = base.config();
  std::vector<int> layers = options.layers;
  if (layers.empty()) layers = {static_cast<int>(c.num_layers) - 1};
  Draft draft;
  draft.config = c;
  draft.config.num_layers = static_cast<int64_t>(layers.size());
  draft.config.tied_head = false;
  if (options.ffn_size > 0) draft.config.ffn_size = options.ffn_size;
  draft.taps = options.taps;
  draft.token_ids = options.token_ids;
  for (const int layer : layers) {
    draft.layers.push_back(CopyLayer(base.layers()[static_cast<size_t>(layer)]));
    if (draft.config.ffn_size < c.ffn_size) PruneFfn(draft.layers.back(), draft.config.ffn_size);
  }
  draft.output_norm = Copy(base.final_norm());
  const std::vector<int64_t> rows(options.token_ids.begin(), options.token_ids.end());
  draft.head =
      base.head_weight().detach().index_select(0, at::tensor(rows, at::kLong).to(base.device()));
  if (!draft.is_head()) return draft;

  // It begins as the last layer run once more: the last tap's state passes through fuse and join,
  // in the size that the layer is used to, with a little of all else.
  SeedGenerator(at::kCPU, options.seed);
  const int64_t hidden = c.hidden_size, taps = static_cast<int64_t>(draft.taps.size());
  const auto like = base.final_norm().options().requires_grad(false);
  const double scale = InputScale(base, layers.front(), options.token_ids);
  const Tensor one = at::eye(hidden, like.dtype(at::kFloat));
  draft.fuse = Normal({hidden, taps * hidden}, 0.005, like);
  draft.fuse.narrow(1, (taps - 1) * hidden, hidden).add_(one);
  draft.join = Normal({hidden, 2 * hidden}, 0.01 * scale, like);
  draft.join.narrow(1, hidden, hidden).add_(one, scale);
  draft.token_norm = at::ones({hidden}, like);
  draft.state_norm = at::ones({hidden}, like);
  return draft;
}

std::vector<NamedTensor> Draft::Parameters() {
  std::vector<NamedTensor> list;
  if (is_head()) {
    list = {{"hearth.head.fuse.weight", fuse},
            {"hearth.head.join.weight", join},
            {"hearth.head.token_norm.weight", token_norm},
            {"hearth.head.state_norm.weight", state_norm}};
  }
  for (size_t index = 0; index < layers.size(); ++index) {
    const DecoderLayerWeights& layer = layers[index];
    const std::string prefix = "blk." + std::to_string(index) + ".";
    const auto add = [&](const std::string& name, const Linear& linear) {
      list.push_back({prefix + name + ".weight", linear.weight});
      if (linear.bias.defined()) list.push_back({prefix + name + ".bias", linear.bias});
    };
    list.push_back({prefix + "attn_norm.weight", layer.attention_norm});
    add("attn_q", layer.query);
    add("attn_k", layer.key);
    add("attn_v", layer.value);
    add("attn_output", layer.output);
    list.push_back({prefix + "ffn_norm.weight", layer.ffn_norm});
    add("ffn_gate", layer.gate);
    add("ffn_up", layer.up);
    add("ffn_down", layer.down);
  }
  list.push_back({"output_norm.weight", output_norm});
  list.push_back({"output.weight", head});
  return list;
}

Draft Draft::FakeQuantized(const DraftTypes& types) const {
  Draft result = *this;
  if (is_head()) {
    result.fuse = FakeQuantize(fuse, types.layers);
    result.join = FakeQuantize(join, types.layers);
  }
  for (DecoderLayerWeights& layer : result.layers) {
    for (Linear* linear : {&layer.query, &layer.key, &layer.value, &layer.output, &layer.gate,
                           &layer.up, &layer.down})
      linear->weight = FakeQuantize(linear->weight, types.layers);
  }
  result.head = FakeQuantize(head, types.head);
  return result;
}

int64_t Draft::bytes_in_all(const DraftTypes& types) const {
  int64_t bytes = 0;
  for (const NamedTensor& parameter : const_cast<Draft*>(this)->Parameters()) {
    if (parameter.tensor.dim() != 2) continue;
    bytes += Bytes(parameter.tensor, parameter.name == "output.weight" ? types.head : types.layers);
  }
  return bytes;
}

int64_t Draft::bytes_per_guess(const DraftTypes& types) const {
  // The base's states are fused once each, when they come.
  return bytes_in_all(types) - (is_head() ? Bytes(fuse, types.layers) : 0);
}

int64_t Draft::macs_per_guess() const {
  int64_t macs = 0;
  for (const NamedTensor& parameter : const_cast<Draft*>(this)->Parameters()) {
    if (parameter.tensor.dim() == 2 && parameter.name != "hearth.head.fuse.weight")
      macs += parameter.tensor.numel();
  }
  return macs;
}

Tensor ModelStates(const Draft& draft, const Decoder& base, const DraftInputs& inputs) {
  LayerContext context;
  context.config = &draft.config;
  context.rotary = MakeRotary(base.rotary_frequencies(), inputs.segments->positions, base.dtype());
  context.segments = inputs.segments;
  Tensor x = base.Embed(inputs.tokens);
  for (size_t layer = 0; layer < draft.layers.size(); ++layer)
    x = RunLayer(draft.layers[layer], x, context, layer);
  return RmsNorm(x, draft.output_norm, draft.config.norm_eps);
}

std::vector<Tensor> HeadStates(const Draft& draft, const Decoder& base, const DraftInputs& inputs,
                               int num_steps) {
  const double eps = draft.config.norm_eps;
  LayerContext context;
  context.config = &draft.config;
  context.segments = inputs.segments;
  std::vector<LayerMemory> memory(draft.layers.size());
  std::vector<Tensor> results;
  Tensor state = at::linear(inputs.taps, draft.fuse);
  for (int step = 0; step < num_steps; ++step) {
    context.rotary =
        MakeRotary(base.rotary_frequencies(), inputs.segments->positions.add(step), base.dtype());
    const Tensor token = base.Embed(Shifted(inputs.tokens, step + 1));
    Tensor x = at::linear(
        at::cat({RmsNorm(token, draft.token_norm, eps), RmsNorm(state, draft.state_norm, eps)}, -1),
        draft.join);
    for (size_t layer = 0; layer < draft.layers.size(); ++layer)
      x = StepLayer(draft.layers[layer], x, context, memory[layer], step == 0);
    results.push_back(RmsNorm(x, draft.output_norm, eps));
    state = x;
  }
  return results;
}

BaseStates RunBase(const Decoder& base, const std::vector<int>& taps, const Tensor& tokens,
                   const SegmentLayout& segments) {
  const at::NoGradGuard no_gradients;
  ForwardOptions options;
  options.taps = taps;
  const ForwardResult result = base.Forward(tokens, segments, options);
  return {taps.empty() ? Tensor() : at::cat(result.taps, -1), result.hidden};
}

}  // namespace hearth::forge
