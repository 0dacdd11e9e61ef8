#pragma once
// The one place that knows which libtorch it is: Debian's 1.13 (CPU) or the one of PyTorch 2.11
// (CUDA 13). Every other file of the forge includes torch through this header, and never
// <torch/torch.h>, which costs three times the compile time.

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/function.h>
#include <torch/types.h>
#include <torch/version.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

#define HEARTH_TORCH_2 (TORCH_VERSION_MAJOR >= 2)

namespace hearth::forge {

using at::Tensor;

// "2.11.0", with "CUDA" where it has any.
std::string TorchVersion();

// "cpu", "cuda", "cuda:1", or "auto": the first GPU where there is one. Errors: kInvalidArgument
// naming the device, kUnsupported where this machine has none such.
Result<at::Device> ParseDevice(std::string_view name);
// "auto" is bf16 on GPUs and f32 on CPUs.
Result<at::ScalarType> ParseDtype(std::string_view name, const at::Device& device);
// "NVIDIA H100 80GB HBM3"; "CPU".
std::string DeviceName(const at::Device& device);

// Bit-equal results from run to run at the cost of speed (CUDA: sets the cuBLAS workspace too, so
// call it before anything runs there). Also fixes what may vary with neither: TF32 is off.
void UseDeterministicAlgorithms(bool deterministic);
bool DeterministicAlgorithms();
// Seeds the device's default generator. Random numbers here are always drawn right after seeding
// with a hash of (seed, step, place): nothing of a generator's state needs saving, and a
// recomputed layer draws what it drew before.
void SeedGenerator(const at::Device& device, uint64_t seed);
uint64_t HashSeed(uint64_t seed, uint64_t step, uint64_t place);

// Waits for the device; a no-op on CPUs.
void Synchronize(const at::Device& device);
// Bytes at most allocated on the device so far; 0 on CPUs.
int64_t PeakMemoryBytes(const at::Device& device);

// Runs `body`; whatever libtorch throws becomes kInternal, or kResourceExhausted for memory, with
// `what` in front.
Status CatchTorch(std::string_view what, const std::function<Status()>& body);

// Fused where this libtorch has it on the device, else composed. All take part in autograd.
Tensor FusedRmsNorm(const Tensor& x, const Tensor& weight, double eps);
Tensor FusedSwiGlu(const Tensor& gate, const Tensor& up);

// Products of two matrices of one type in FP32. CUDA on 2.x: without rounding to that type first.
Tensor MatmulToFloat(const Tensor& a, const Tensor& b);
// sum [rows, columns] FP32 += a @ b.
void AddMatmulToFloat(Tensor& sum, const Tensor& a, const Tensor& b);

// Causal attention of packed sequences; no query sees another segment. Grouped queries: head h of
// q reads KV head h / (num_heads / num_kv_heads).
// q [tokens, num_heads, head_dim], k and v [tokens, num_kv_heads, head_dim] -> as q.
// `lengths` of the segments on the host; `cu_lengths` int32 [segments + 1] on the device.
// CUDA in BF16 or F16: flash attention over variable lengths, one kernel for the whole pack.
// Elsewhere segment after segment, which needs no mask either.
Tensor PackedCausalAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                             const std::vector<int64_t>& lengths, const Tensor& cu_lengths,
                             int64_t max_length);

// One AdamW step on flat tensors, in place. All FP32; `step` counts from 1.
struct AdamWHyper {
  double learning_rate = 0, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0;
  int64_t step = 1;
};
void AdamWStep(Tensor weights, const Tensor& gradient, Tensor moment1, Tensor moment2,
               const AdamWHyper& hyper);

}  // namespace hearth::forge
