#include "training/model/layers.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "training/model/kv_cache.h"

namespace hearth::forge {
namespace {

constexpr uint64_t kPlaces = 8;  // of dropout within a layer

}  // namespace

SegmentLayout SegmentLayout::Make(const std::vector<int64_t>& lengths, const at::Device& device) {
  SegmentLayout layout;
  layout.lengths = lengths;
  std::vector<int32_t> bounds = {0};
  std::vector<int64_t> positions;
  for (const int64_t length : lengths) {
    layout.max_length = std::max(layout.max_length, length);
    bounds.push_back(bounds.back() + static_cast<int32_t>(length));
    for (int64_t position = 0; position < length; ++position) positions.push_back(position);
  }
  // From pinned memory a copy waits for nothing.
  const auto move = [&device](const Tensor& host) {
    return device.is_cuda() ? host.pin_memory().to(device, /*non_blocking=*/true) : host;
  };
  layout.cu_lengths = move(at::tensor(bounds, at::kInt));
  layout.positions = move(at::tensor(positions, at::kLong));
  return layout;
}

Tensor RotaryFrequencies(const DecoderConfig& config, const at::Device& device) {
  const int64_t half = config.head_dim / 2;
  std::vector<float> frequencies(static_cast<size_t>(half));
  for (int64_t pair = 0; pair < half; ++pair) {
    double frequency = std::pow(
        config.rope_theta, -2.0 * static_cast<double>(pair) / static_cast<double>(config.head_dim));
    frequency /= config.rope_linear_factor;
    if (!config.rope_factors.empty())
      frequency /= static_cast<double>(config.rope_factors[static_cast<size_t>(pair)]);
    frequencies[static_cast<size_t>(pair)] = static_cast<float>(frequency);
  }
  return at::tensor(frequencies, at::kFloat).to(device);
}

Rotary MakeRotary(const Tensor& frequencies, const Tensor& positions, at::ScalarType dtype) {
  const Tensor angles =
      positions.to(at::kFloat).unsqueeze(-1).mul(frequencies).unsqueeze(1);  // [tokens, 1, half]
  return {angles.cos().to(dtype), angles.sin().to(dtype)};
}

Tensor RmsNorm(const Tensor& x, const Tensor& weight, double eps) {
  return FusedRmsNorm(x, weight, eps);
}

Tensor ApplyLinear(const Linear& linear, const Tensor& x, const LayerContext& context,
                   uint64_t place) {
  const Tensor y = linear.bias.defined() ? at::linear(x, linear.weight, linear.bias)
                                         : at::linear(x, linear.weight);
  if (!linear.lora || !context.use_adapters) return y;
  const Lora& lora = *linear.lora;
  Tensor input = x;
  if (context.training && lora.dropout > 0) {
    SeedGenerator(x.device(), HashSeed(context.dropout_seed, place, 1));
    input = at::dropout(x, lora.dropout, /*train=*/true);
  }
  Tensor inner = at::linear(input, lora.a).mul(lora.scale);
  // The rank is small: masking there is cheaper than masking the output.
  if (context.adapter_mask.defined()) inner = inner.mul(context.adapter_mask);
  return y.add(at::linear(inner, lora.b));
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Written half by half into one buffer, each with a product and a fused multiply-add.
Tensor Rotate(const Tensor& x, const Tensor& cosine, const Tensor& sine, bool backwards) {
  const int64_t half = x.size(-1) / 2;
  const double sign = backwards ? -1 : 1;
  const Tensor first = x.narrow(-1, 0, half), second = x.narrow(-1, half, half);
  const Tensor out = at::empty(x.sizes(), x.options());
  Tensor out_first = out.narrow(-1, 0, half), out_second = out.narrow(-1, half, half);
  at::mul_out(out_first, first, cosine).addcmul_(second, sine, -sign);
  at::mul_out(out_second, second, cosine).addcmul_(first, sine, sign);
  return out;
}

// The inverse of a rotation is its transpose, so nothing but the angles is kept.
class RotaryFunction : public torch::autograd::Function<RotaryFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& cosine,
                        const Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return Rotate(x, cosine, sine, /*backwards=*/false);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    return {Rotate(gradients[0], saved[0], saved[1], /*backwards=*/true), Tensor(), Tensor()};
  }
};

using Body = std::function<Tensor(const Tensor&)>;

struct BodyHolder : torch::CustomClassHolder {
  explicit BodyHolder(Body b) : body(std::move(b)) {}
  Body body;
};

// Runs a second backward pass within the outer one, which torch's engine allows.
class CheckpointFunction : public torch::autograd::Function<CheckpointFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Body& body) {
    context->save_for_backward({x});
    context->saved_data["body"] = at::IValue::make_capsule(c10::make_intrusive<BodyHolder>(body));
    return body(x);  // gradients are off in here
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Tensor x = context->get_saved_variables()[0].detach().requires_grad_(true);
    const auto holder =
        c10::static_intrusive_pointer_cast<BodyHolder>(context->saved_data["body"].toCapsule());
    Tensor out;
    {
      const at::AutoGradMode gradients_on(true);
      out = holder->body(x);
    }
    torch::autograd::backward({out}, {gradients[0]});
    return {x.grad(), Tensor()};
  }
};

}  // namespace

Tensor ApplyRotary(const Tensor& x, const Rotary& rotary) {
  return RotaryFunction::apply(x, rotary.cosine, rotary.sine);
}

Tensor Attention(const DecoderLayerWeights& weights, const Tensor& x, const LayerContext& context,
                 uint64_t layer) {
  const DecoderConfig& config = *context.config;
  const int64_t rows = x.size(0);
  const auto project = [&](const Linear& linear, int64_t heads, uint64_t place) {
    return ApplyLinear(linear, x, context, layer * kPlaces + place)
        .view({rows, heads, config.head_dim});
  };
  const Tensor q = ApplyRotary(project(weights.query, config.num_heads, 0), context.rotary);
  const Tensor k = ApplyRotary(project(weights.key, config.num_kv_heads, 1), context.rotary);
  const Tensor v = project(weights.value, config.num_kv_heads, 2);
  Tensor attended;
  if (context.cache != nullptr) {
    const int64_t batch = context.cache->batch();
    const auto by_sequence = [&](const Tensor& t) {
      return t.view({batch, rows / batch, t.size(1), t.size(2)});
    };
    attended =
        context.cache->Attend(context.cache_layer, by_sequence(q), by_sequence(k), by_sequence(v));
  } else {
    const SegmentLayout& segments = *context.segments;
    attended =
        PackedCausalAttention(q, k, v, segments.lengths, segments.cu_lengths, segments.max_length);
  }
  return ApplyLinear(weights.output, attended.reshape({rows, config.query_size()}), context,
                     layer * kPlaces + 3);
}

Tensor FeedForward(const DecoderLayerWeights& weights, const Tensor& x, const LayerContext& context,
                   uint64_t layer) {
  const Tensor gate = ApplyLinear(weights.gate, x, context, layer * kPlaces + 4);
  const Tensor up = ApplyLinear(weights.up, x, context, layer * kPlaces + 5);
  return ApplyLinear(weights.down, FusedSwiGlu(gate, up), context, layer * kPlaces + 6);
}

Tensor RunLayer(const DecoderLayerWeights& weights, const Tensor& x, const LayerContext& context,
                uint64_t layer) {
  const double eps = context.config->norm_eps;
  const Tensor middle =
      x.add(Attention(weights, RmsNorm(x, weights.attention_norm, eps), context, layer));
  return middle.add(FeedForward(weights, RmsNorm(middle, weights.ffn_norm, eps), context, layer));
}

Tensor Checkpointed(const Body& body, const Tensor& x) {
  return CheckpointFunction::apply(x, body);
}

}  // namespace hearth::forge
