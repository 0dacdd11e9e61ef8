#include "training/generate/sampling.h"

namespace hearth::forge {
namespace {

// The first column at which the running sum exceeds noise * total.
Tensor Quantile(const Tensor& probabilities, const Tensor& noise) {
  const int64_t columns = probabilities.size(1);
  const Tensor sums = probabilities.cumsum(-1);
  const Tensor wanted = sums.narrow(1, columns - 1, 1).mul(noise.unsqueeze(-1));
  return at::searchsorted(sums, wanted, /*out_int32=*/false, /*right=*/true)
      .clamp_max(columns - 1)
      .squeeze(-1);
}

}  // namespace

Tensor SampleTokens(const Tensor& logits, const SamplingInputs& inputs) {
  const Tensor likeliest = logits.argmax(-1);
  const Tensor scale = inputs.temperature.clamp_min(1e-4).reciprocal().unsqueeze(-1);
  const Tensor probabilities = at::softmax(logits.mul(scale), -1);
  Tensor drawn;
  if (inputs.top_p.defined()) {
    auto [sorted, ids] = probabilities.sort(-1, /*descending=*/true);
    const Tensor before = sorted.cumsum(-1).sub_(sorted);
    sorted = sorted.masked_fill(before.ge(inputs.top_p.unsqueeze(-1)), 0.0);
    drawn = ids.gather(1, Quantile(sorted, inputs.noise).unsqueeze(-1)).squeeze(-1);
  } else {
    drawn = Quantile(probabilities, inputs.noise);
  }
  return at::where(inputs.temperature.le(0), likeliest, drawn);
}

}  // namespace hearth::forge
