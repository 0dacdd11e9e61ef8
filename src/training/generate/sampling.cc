#include "training/generate/sampling.h"

#include <algorithm>

namespace hearth::forge {
namespace {

// Below 1 by the least that FP32 holds: times a total it is below the total.
constexpr double kJustBelowOne = 1 - 0x1p-23;

// `sums` are running sums, [rows, columns]; `wanted` [rows, 1]. The first column that exceeds it,
// which is one whose own part is above 0: below 0 and at the total rounding may have brought it.
Tensor FirstAbove(const Tensor& sums, const Tensor& wanted) {
  const Tensor total = sums.narrow(1, sums.size(1) - 1, 1);
  const Tensor within = at::minimum(wanted.clamp_min(0), total.mul(kJustBelowOne));
  return at::searchsorted(sums, within, /*out_int32=*/false, /*right=*/true)
      .clamp_max(sums.size(1) - 1);
}

// Of the ways to cut `columns` into groups of one size the one with the widest up to 512; 1: none.
int64_t GroupWidth(int64_t columns) {
  int64_t width = std::min<int64_t>(512, columns);
  while (columns % width != 0) --width;
  return width;
}

// The first column at which the running sum exceeds noise * total. First among the sums of groups
// of columns, then within one group: running sums of a whole vocabulary are as much to write as it
// is to read.
Tensor Quantile(const Tensor& probabilities, const Tensor& noise) {
  const int64_t rows = probabilities.size(0), columns = probabilities.size(1),
                width = GroupWidth(columns);
  const Tensor groups = probabilities.view({rows, columns / width, width});
  const Tensor sums = groups.sum(-1);
  const Tensor up_to = sums.cumsum(-1);
  const Tensor wanted = up_to.narrow(1, up_to.size(1) - 1, 1).mul(noise.unsqueeze(-1));
  const Tensor group = FirstAbove(up_to, wanted);
  const Tensor before = up_to.gather(1, group).sub_(sums.gather(1, group));
  const Tensor members =
      groups.gather(1, group.unsqueeze(-1).expand({rows, 1, width})).view({rows, width});
  const Tensor member = FirstAbove(members.cumsum(-1), wanted.sub(before));
  return group.mul(width).add_(member).squeeze(-1);
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
