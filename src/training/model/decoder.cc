#include "training/model/decoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace hearth::forge {
namespace {

constexpr std::array<const char*, 7> kLinearNames = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                     "gate_proj", "up_proj", "down_proj"};

std::array<Linear*, 7> LinearsOf(DecoderLayerWeights& layer) {
  return {&layer.query, &layer.key, &layer.value, &layer.output,
          &layer.gate,  &layer.up,  &layer.down};
}

std::string LinearName(size_t layer, size_t linear) {
  return "model.layers." + std::to_string(layer) + (linear < 4 ? ".self_attn." : ".mlp.") +
         kLinearNames[linear];
}

Status Wrong(const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, "adapter: " + what);
}

}  // namespace

double LoraOptions::scale() const {
  const auto size = static_cast<double>(rank);
  return alpha / (rs_lora ? std::sqrt(size) : size);
}

template <typename Visit>
void Decoder::ForEachParameter(Visit visit) {
  visit("model.embed_tokens.weight", embedding_);
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    DecoderLayerWeights& weights = layers_[layer];
    const std::string prefix = "model.layers." + std::to_string(layer);
    visit(prefix + ".input_layernorm.weight", weights.attention_norm);
    const auto linears = LinearsOf(weights);
    for (size_t index = 0; index < linears.size(); ++index) {
      if (index == 4) visit(prefix + ".post_attention_layernorm.weight", weights.ffn_norm);
      const std::string name = LinearName(layer, index);
      visit(name + ".weight", linears[index]->weight);
      if (linears[index]->bias.defined()) visit(name + ".bias", linears[index]->bias);
    }
  }
  visit("model.norm.weight", final_norm_);
  if (!config_.tied_head) visit("lm_head.weight", head_);
}

template <typename Visit>
void Decoder::ForEachLinear(Visit visit) {
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    const auto linears = LinearsOf(layers_[layer]);
    for (size_t index = 0; index < linears.size(); ++index) visit(layer, index, *linears[index]);
  }
}

void Decoder::Allocate(const DecoderOptions& options) {
  const auto make = [&](std::vector<int64_t> shape) {
    return at::empty(shape, at::TensorOptions().device(options.device).dtype(options.dtype));
  };
  const DecoderConfig& c = config_;
  embedding_ = make({c.vocab_size, c.hidden_size});
  final_norm_ = make({c.hidden_size});
  if (!c.tied_head) head_ = make({c.vocab_size, c.hidden_size});
  const auto linear = [&](int64_t outputs, int64_t inputs, bool bias) {
    return Linear{make({outputs, inputs}), bias ? make({outputs}) : Tensor(), std::nullopt};
  };
  layers_.clear();
  for (int64_t layer = 0; layer < c.num_layers; ++layer) {
    layers_.push_back(
        {make({c.hidden_size}), make({c.hidden_size}),
         linear(c.query_size(), c.hidden_size, c.qkv_bias),
         linear(c.kv_size(), c.hidden_size, c.qkv_bias),
         linear(c.kv_size(), c.hidden_size, c.qkv_bias),
         linear(c.hidden_size, c.query_size(), false), linear(c.ffn_size, c.hidden_size, false),
         linear(c.ffn_size, c.hidden_size, false), linear(c.hidden_size, c.ffn_size, false)});
  }
  frequencies_ = RotaryFrequencies(config_, options.device);
}

Decoder Decoder::Random(const DecoderConfig& config, const DecoderOptions& options, uint64_t seed) {
  HEARTH_CHECK(CheckConfig(config).has_value());
  Decoder decoder;
  decoder.config_ = config;
  decoder.Allocate(options);
  SeedGenerator(at::kCPU, seed);
  // Drawn on the CPU, so that every device begins with the same weights.
  decoder.ForEachParameter([](const std::string& name, Tensor& tensor) {
    const auto like = at::TensorOptions().dtype(at::kFloat);
    if (name.ends_with("norm.weight")) {
      tensor.fill_(1);
    } else if (name.ends_with(".bias")) {
      tensor.zero_();
    } else {
      tensor.copy_(at::empty(tensor.sizes(), like).normal_(0, 0.02));
    }
  });
  return decoder;
}

ForwardResult Decoder::Forward(const Tensor& tokens, const SegmentLayout& segments,
                               const ForwardOptions& options) const {
  LayerContext context;
  context.rotary = MakeRotary(frequencies_, segments.positions, dtype());
  context.segments = &segments;
  return Run(Embed(tokens), context, options);
}

ForwardResult Decoder::Forward(const Tensor& tokens, KvCache& cache, const Tensor& counts,
                               const ForwardOptions& options) const {
  const at::NoGradGuard no_gradients;
  cache.Begin(tokens.size(1));
  LayerContext context;
  context.rotary = MakeRotary(frequencies_, cache.positions(), dtype());
  context.cache = &cache;
  ForwardOptions plain = options;
  plain.checkpoint = false;
  ForwardResult result = Run(Embed(tokens.reshape({-1})), context, plain);
  cache.Commit(counts);
  return result;
}

ForwardResult Decoder::Run(Tensor x, LayerContext context, const ForwardOptions& options) const {
  context.config = &config_;
  context.use_adapters = options.use_adapters;
  context.training = options.training;
  context.dropout_seed = options.dropout_seed;
  if (options.adapter_mask.defined())
    context.adapter_mask = options.adapter_mask.to(dtype()).reshape({-1, 1});
  // A frozen embedding's output asks for no gradient, and a checkpointed layer would not see that
  // its adapters do.
  if (options.checkpoint && at::GradMode::is_enabled() && !x.requires_grad())
    x = x.detach().requires_grad_(true);
  ForwardResult result;
  result.taps.resize(options.taps.size());
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    context.cache_layer = static_cast<int>(layer);
    const DecoderLayerWeights& weights = layers_[layer];
    if (options.checkpoint && at::GradMode::is_enabled()) {
      // By value: the backward pass runs after this frame is gone. Segments live in the trainer's
      // batch, and are copied for the same reason.
      const auto segments = std::make_shared<SegmentLayout>(*context.segments);
      x = Checkpointed(
          [&weights, context, segments, layer](const Tensor& in) mutable {
            context.segments = segments.get();
            return RunLayer(weights, in, context, layer);
          },
          x);
    } else {
      x = RunLayer(weights, x, context, layer);
    }
    for (size_t tap = 0; tap < options.taps.size(); ++tap) {
      if (options.taps[tap] == static_cast<int>(layer)) result.taps[tap] = x;
    }
  }
  result.raw = x;
  result.hidden = RmsNorm(x, final_norm_, config_.norm_eps);
  return result;
}

KvCache Decoder::MakeCache(int64_t batch, int64_t capacity) const {
  return KvCache(config_, config_.num_layers, batch, capacity,
                 at::TensorOptions().device(device()).dtype(dtype()));
}

std::vector<NamedTensor> Decoder::Parameters() const {
  std::vector<NamedTensor> list;
  const_cast<Decoder*>(this)->ForEachParameter([&list](const std::string& name, Tensor& tensor) {
    list.push_back({name, tensor});
  });
  return list;
}

int64_t Decoder::num_parameters() const {
  int64_t count = 0;
  for (const NamedTensor& parameter : Parameters()) count += parameter.tensor.numel();
  return count;
}

void Decoder::SetBaseTrainable(bool trainable) {
  ForEachParameter(
      [trainable](const std::string&, Tensor& tensor) { tensor.set_requires_grad(trainable); });
}

Status Decoder::AttachLora(const LoraOptions& options, uint64_t seed) {
  if (options.rank < 1 || options.rank > 4096)
    return Wrong("rank is " + std::to_string(options.rank));
  if (!(options.alpha > 0)) return Wrong("alpha is " + std::to_string(options.alpha));
  if (!(options.dropout >= 0 && options.dropout < 1))
    return Wrong("dropout is " + std::to_string(options.dropout));
  for (const std::string& target : options.targets) {
    if (std::find(kLinearNames.begin(), kLinearNames.end(), target) == kLinearNames.end())
      return Wrong("no target is called '" + target + "'");
  }
  for (const int32_t token : options.invocation_tokens) {
    if (token < 0 || token >= config_.vocab_size)
      return Wrong("invocation token " + std::to_string(token) + " is not in the vocabulary");
  }
  DetachLora();
  SeedGenerator(at::kCPU, seed);
  ForEachLinear([&](size_t, size_t index, Linear& linear) {
    const std::string name = kLinearNames[index];
    if (!options.targets.empty() &&
        std::find(options.targets.begin(), options.targets.end(), name) == options.targets.end())
      return;
    const int64_t outputs = linear.weight.size(0), inputs = linear.weight.size(1);
    const Tensor drawn = at::empty({options.rank, inputs}, at::TensorOptions().dtype(at::kFloat));
    // Kaiming uniform with a = sqrt(5), as PEFT begins.
    const double bound = 1 / std::sqrt(static_cast<double>(inputs));
    drawn.uniform_(-bound, bound);
    Tensor a = drawn.to(linear.weight.options().requires_grad(false));
    Tensor b = at::zeros({outputs, options.rank}, linear.weight.options().requires_grad(false));
    a.set_requires_grad(true);
    b.set_requires_grad(true);
    linear.lora = Lora{a, b, options.scale(), options.dropout};
  });
  lora_ = options;
  return {};
}

void Decoder::DetachLora() {
  ForEachLinear([](size_t, size_t, Linear& linear) { linear.lora.reset(); });
  lora_.reset();
}

std::vector<NamedTensor> Decoder::LoraParameters() const {
  std::vector<NamedTensor> list;
  const_cast<Decoder*>(this)->ForEachLinear([&list](size_t layer, size_t index, Linear& linear) {
    if (!linear.lora) return;
    const std::string prefix = "base_model.model." + LinearName(layer, index);
    list.push_back({prefix + ".lora_A.weight", linear.lora->a});
    list.push_back({prefix + ".lora_B.weight", linear.lora->b});
  });
  return list;
}

void Decoder::MergeLora() {
  HEARTH_CHECK(!lora_ || lora_->invocation_tokens.empty());
  const at::NoGradGuard no_gradients;
  ForEachLinear([](size_t, size_t, Linear& linear) {
    if (!linear.lora) return;
    const Tensor product = at::matmul(linear.lora->b.to(at::kFloat), linear.lora->a.to(at::kFloat));
    linear.weight.copy_(linear.weight.to(at::kFloat).add_(product, linear.lora->scale));
  });
  DetachLora();
}

}  // namespace hearth::forge
