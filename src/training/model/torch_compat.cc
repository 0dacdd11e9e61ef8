#include "training/model/torch_compat.h"

#include <torch/cuda.h>

#include <cmath>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>

#if !defined(HEARTH_TORCH_CUDA)
#if HEARTH_TORCH_2 && __has_include(<cuda_runtime_api.h>)
#define HEARTH_TORCH_CUDA 1
#else
#define HEARTH_TORCH_CUDA 0
#endif
#endif
#if HEARTH_TORCH_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/jiterator.h>
#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace hearth::forge {

std::string TorchVersion() {
  return std::string(TORCH_VERSION) + (at::hasCUDA() ? " with CUDA" : "");
}

Result<at::Device> ParseDevice(std::string_view name) {
  const bool has_cuda = torch::cuda::is_available();
  if (name == "auto") return has_cuda ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  if (name == "cpu") return at::Device(at::kCPU);
  int64_t index = 0;
  if (name.starts_with("cuda:") && name.size() == 6 && name[5] >= '0' && name[5] <= '9') {
    index = name[5] - '0';
  } else if (name != "cuda") {
    return MakeError(ErrorCode::kInvalidArgument,
                     "device '" + std::string(name) + "': expected auto, cpu, cuda or cuda:N");
  }
  if (!has_cuda || index >= static_cast<int64_t>(torch::cuda::device_count())) {
    return MakeError(ErrorCode::kUnsupported, "device '" + std::string(name) +
                                                  "': not here (libtorch " + TorchVersion() + ")");
  }
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

Result<at::ScalarType> ParseDtype(std::string_view name, const at::Device& device) {
  if (name == "auto") return device.is_cuda() ? at::kBFloat16 : at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "f32") return at::kFloat;
  return MakeError(ErrorCode::kInvalidArgument,
                   "dtype '" + std::string(name) + "': expected auto, bf16 or f32");
}

std::string DeviceName(const at::Device& device) {
#if HEARTH_TORCH_CUDA
  if (device.is_cuda()) return at::cuda::getDeviceProperties(device.index())->name;
#endif
  return device.is_cuda() ? "GPU" : "CPU";
}

void UseDeterministicAlgorithms(bool deterministic) {
  // cuBLAS reads it when its handle is made.
  if (deterministic) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  at::globalContext().setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
  at::globalContext().setDeterministicCuDNN(deterministic);
}

bool DeterministicAlgorithms() { return at::globalContext().deterministicAlgorithms(); }

void SeedGenerator(const at::Device& device, uint64_t seed) {
  auto generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(seed);
}

uint64_t HashSeed(uint64_t seed, uint64_t step, uint64_t place) {
  // SplitMix64's finaliser over the three words.
  uint64_t hash = seed;
  for (const uint64_t word : {step, place}) {
    hash += 0x9E3779B97F4A7C15ull + word;
    hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9ull;
    hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBull;
    hash ^= hash >> 31;
  }
  return hash;
}

void Synchronize(const at::Device& device) {
  if (device.is_cuda()) torch::cuda::synchronize(device.index());
}

int64_t PeakMemoryBytes([[maybe_unused]] const at::Device& device) {
#if HEARTH_TORCH_CUDA
  if (device.is_cuda()) {
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
    return stats.allocated_bytes[0].peak;
  }
#endif
  return 0;
}

Status CatchTorch(std::string_view what, const std::function<Status()>& body) {
  const std::string prefix = std::string(what) + ": ";
  try {
    return body();
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    const bool memory = message.find("out of memory") != std::string::npos;
    return MakeError(memory ? ErrorCode::kResourceExhausted : ErrorCode::kInternal,
                     prefix + message);
  } catch (const std::bad_alloc&) {
    return MakeError(ErrorCode::kResourceExhausted, prefix + "out of memory");
  } catch (const std::exception& error) {
    return MakeError(ErrorCode::kInternal, prefix + error.what());
  }
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// y = x / rms(x) * weight, keeping x and one number per row.
class RmsNormFunction : public torch::autograd::Function<RmsNormFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        double eps) {
    const Tensor wide = x.to(at::kFloat);
    const Tensor scale = at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps);
    context->save_for_backward({x, weight, scale});
    return wide.mul(scale).mul(weight.to(at::kFloat)).to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &scale = saved[2];
    const Tensor normed = x.to(at::kFloat).mul(scale);
    const Tensor gradient = gradients[0].to(at::kFloat);
    Tensor x_gradient, weight_gradient;
    if (context->needs_input_grad(0)) {
      const Tensor scaled = gradient.mul(weight.to(at::kFloat));
      const Tensor along = scaled.mul(normed).mean(-1, /*keepdim=*/true);
      x_gradient = scaled.sub(normed.mul(along)).mul(scale).to(x.scalar_type());
    }
    if (context->needs_input_grad(1)) {
      weight_gradient =
          gradient.mul(normed).reshape({-1, weight.size(0)}).sum(0).to(weight.scalar_type());
    }
    return {x_gradient, weight_gradient, Tensor()};
  }
};

#if HEARTH_TORCH_CUDA
// One kernel each way, compiled at run time: composed, they read and write five times as much.
constexpr const char* kSwiGluCode = R"(
template <typename T> T hearth_swiglu(T gate, T up) {
  const float g = static_cast<float>(gate);
  return static_cast<T>(g / (1.0f + expf(-g)) * static_cast<float>(up));
})";
constexpr const char* kSwiGluBackwardCode = R"(
template <typename T>
void hearth_swiglu_backward(T gradient, T gate, T up, T& gate_gradient, T& up_gradient) {
  const float g = static_cast<float>(gate);
  const float d = static_cast<float>(gradient);
  const float sigmoid = 1.0f / (1.0f + expf(-g));
  gate_gradient = static_cast<T>(d * static_cast<float>(up) * sigmoid * (1.0f + g * (1.0f - sigmoid)));
  up_gradient = static_cast<T>(d * g * sigmoid);
})";
#endif

Tensor SwiGluForward(const Tensor& gate, const Tensor& up) {
#if HEARTH_TORCH_CUDA
  if (gate.is_cuda())
    return at::cuda::CompileAndLaunchKernel(kSwiGluCode, "hearth_swiglu", 1, {gate, up}, {},
                                            /*return_by_ref=*/false)[0];
#endif
  return at::silu(gate).mul_(up);
}

class SwiGluFunction : public torch::autograd::Function<SwiGluFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& gate, const Tensor& up) {
    context->save_for_backward({gate, up});
    return SwiGluForward(gate, up);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &gate = saved[0], &up = saved[1], &gradient = gradients[0];
#if HEARTH_TORCH_CUDA
    if (gate.is_cuda()) {
      auto both = at::cuda::CompileAndLaunchKernel(kSwiGluBackwardCode, "hearth_swiglu_backward", 2,
                                                   {gradient, gate, up}, {},
                                                   /*return_by_ref=*/true);
      return {both[0], both[1]};
    }
#endif
    return {at::silu_backward(gradient.mul(up), gate), at::silu(gate).mul_(gradient)};
  }
};

#if HEARTH_TORCH_2
class FlashFunction : public torch::autograd::Function<FlashFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& cu_lengths, int64_t max_length) {
    auto [out, log_sum, rng_state, unused, mask] = at::_flash_attention_forward(
        q, k, v, cu_lengths, cu_lengths, max_length, max_length, /*dropout_p=*/0.0,
        /*is_causal=*/true, /*return_debug_mask=*/false);
    context->save_for_backward({q, k, v, cu_lengths, out, log_sum, rng_state, unused});
    context->saved_data["max_length"] = max_length;
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const int64_t max_length = context->saved_data["max_length"].toInt();
    auto [dq, dk, dv] = at::_flash_attention_backward(
        gradients[0].contiguous(), saved[0], saved[1], saved[2], saved[4], saved[5], saved[3],
        saved[3], max_length, max_length, /*dropout_p=*/0.0, /*is_causal=*/true, saved[6],
        saved[7]);
    return {dq, dk, dv, Tensor(), Tensor()};
  }
};
#endif

// One sequence, [length, heads, head_dim].
Tensor CausalAttention(const Tensor& q, const Tensor& k, const Tensor& v) {
#if HEARTH_TORCH_2
  const auto heads_first = [](const Tensor& x) { return x.transpose(0, 1).unsqueeze(0); };
  return at::scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v), {}, 0.0,
                                          /*is_causal=*/true, {},
                                          /*enable_gqa=*/q.size(1) != k.size(1))
      .squeeze(0)
      .transpose(0, 1);
#else
  const int64_t length = q.size(0), heads = q.size(1), kv_heads = k.size(1), dim = q.size(2);
  const Tensor queries = q.reshape({length, kv_heads, heads / kv_heads, dim}).permute({1, 2, 0, 3});
  const Tensor keys = k.permute({1, 2, 0}).unsqueeze(1);  // [kv_heads, 1, dim, length]
  const Tensor values = v.transpose(0, 1).unsqueeze(1);   // [kv_heads, 1, length, dim]
  const Tensor hidden =
      at::ones({length, length}, q.options().dtype(at::kBool)).triu_(/*diagonal=*/1);
  const Tensor scores = at::matmul(queries, keys).mul(1.0 / std::sqrt(static_cast<double>(dim)));
  const Tensor weights =
      at::softmax(scores.masked_fill(hidden, -INFINITY), -1, at::kFloat).to(v.scalar_type());
  return at::matmul(weights, values).permute({2, 0, 1, 3}).reshape({length, heads, dim});
#endif
}

}  // namespace

Tensor FusedRmsNorm(const Tensor& x, const Tensor& weight, double eps) {
#if HEARTH_TORCH_2
  if (x.is_cuda()) return at::rms_norm(x, {weight.size(0)}, weight, eps);
#endif
  return RmsNormFunction::apply(x, weight, eps);
}

Tensor FusedSwiGlu(const Tensor& gate, const Tensor& up) { return SwiGluFunction::apply(gate, up); }

Tensor MatmulToFloat(const Tensor& a, const Tensor& b) {
  if (a.scalar_type() == at::kFloat) return at::mm(a, b);
#if HEARTH_TORCH_2
  if (a.is_cuda()) return at::mm(a, b, at::kFloat);
#endif
  return at::mm(a, b).to(at::kFloat);
}

void AddMatmulToFloat(Tensor& sum, const Tensor& a, const Tensor& b) {
  if (a.scalar_type() == at::kFloat) {
    sum.addmm_(a, b);
    return;
  }
#if HEARTH_TORCH_2
  if (a.is_cuda()) {
    at::addmm_out(sum, sum, a, b, at::kFloat);
    return;
  }
#endif
  sum.add_(at::mm(a, b));
}

Tensor PackedCausalAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                             const std::vector<int64_t>& lengths,
                             [[maybe_unused]] const Tensor& cu_lengths,
                             [[maybe_unused]] int64_t max_length) {
#if HEARTH_TORCH_2
  const bool half = q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf;
  if (q.is_cuda() && half && q.size(2) % 8 == 0 && q.size(2) <= 256)
    return FlashFunction::apply(q, k, v, cu_lengths, max_length);
#endif
  if (lengths.size() == 1) return CausalAttention(q, k, v);
  std::vector<Tensor> parts;
  int64_t begin = 0;
  for (const int64_t length : lengths) {
    parts.push_back(CausalAttention(q.narrow(0, begin, length), k.narrow(0, begin, length),
                                    v.narrow(0, begin, length)));
    begin += length;
  }
  return at::cat(parts, 0);
}

void AdamWStep(Tensor weights, const Tensor& gradient, Tensor moment1, Tensor moment2,
               const AdamWHyper& hyper) {
#if HEARTH_TORCH_2
  if (weights.is_cuda()) {
    // Pieces, since the fused kernel counts in 32 bits.
    constexpr int64_t kPiece = int64_t{1} << 28;
    const Tensor step =
        at::full({}, static_cast<double>(hyper.step), weights.options().dtype(at::kFloat));
    const auto w = weights.split(kPiece), g = gradient.split(kPiece), m1 = moment1.split(kPiece),
               m2 = moment2.split(kPiece);
    const std::vector<Tensor> steps(w.size(), step);
    at::_fused_adamw_(w, g, m1, m2, {}, steps, hyper.learning_rate, hyper.beta1, hyper.beta2,
                      hyper.weight_decay, hyper.eps, /*amsgrad=*/false, /*maximize=*/false);
    return;
  }
#endif
  const double step = static_cast<double>(hyper.step);
  const double correction1 = 1 - std::pow(hyper.beta1, step);
  const double correction2 = 1 - std::pow(hyper.beta2, step);
  if (hyper.weight_decay != 0) weights.mul_(1 - hyper.learning_rate * hyper.weight_decay);
  moment1.mul_(hyper.beta1).add_(gradient, 1 - hyper.beta1);
  moment2.mul_(hyper.beta2).addcmul_(gradient, gradient, 1 - hyper.beta2);
  const Tensor denominator = moment2.sqrt().div_(std::sqrt(correction2)).add_(hyper.eps);
  weights.addcdiv_(moment1, denominator, -hyper.learning_rate / correction1);
}

}  // namespace hearth::forge
