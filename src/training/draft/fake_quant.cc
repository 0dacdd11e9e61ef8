#include "training/draft/fake_quant.h"

namespace hearth::forge {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor AsHalf(const Tensor& x) { return x.to(at::kHalf).to(at::kFloat); }

Tensor Reciprocal(const Tensor& x) { return x.reciprocal().masked_fill_(x.eq(0), 0.0); }

// Blocks of 32 as FP32 [blocks, 32] -> likewise.
Tensor RoundBlocks(const Tensor& blocks, TensorType type) {
  if (type == TensorType::kQ8_0) {
    const Tensor scale = blocks.abs().amax(-1, /*keepdim=*/true).div_(127);
    return blocks.mul(Reciprocal(scale)).round_().mul_(AsHalf(scale));
  }
  const bool five = type == TensorType::kQ5_0 || type == TensorType::kQ5_1;
  const double levels = five ? 32 : 16;
  if (type == TensorType::kQ4_0 || type == TensorType::kQ5_0) {
    // The value of the largest magnitude is the lowest level.
    const Tensor largest = blocks.gather(1, blocks.abs().argmax(-1, /*keepdim=*/true));
    const Tensor scale = largest.div(-levels / 2);
    return blocks.mul(Reciprocal(scale))
        .add_(levels / 2 + 0.5)
        .floor_()
        .clamp_(0, levels - 1)
        .sub_(levels / 2)
        .mul_(AsHalf(scale));
  }
  const Tensor low = blocks.amin(-1, /*keepdim=*/true);
  const Tensor scale = blocks.amax(-1, /*keepdim=*/true).sub_(low).div_(levels - 1);
  return blocks.sub(low)
      .mul_(Reciprocal(scale))
      .add_(0.5)
      .floor_()
      .clamp_(0, levels - 1)
      .mul_(AsHalf(scale))
      .add_(AsHalf(low));
}

class FakeQuantFunction : public torch::autograd::Function<FakeQuantFunction> {
 public:
  static Tensor forward(AutogradContext*, const Tensor& weight, int64_t type) {
    const Tensor blocks = weight.to(at::kFloat).reshape({-1, 32});
    return RoundBlocks(blocks, static_cast<TensorType>(type))
        .view(weight.sizes())
        .to(weight.scalar_type());
  }
  static variable_list backward(AutogradContext*, variable_list gradients) {
    return {gradients[0], Tensor()};
  }
};

}  // namespace

bool CanFakeQuantize(TensorType type) {
  return type == TensorType::kQ4_0 || type == TensorType::kQ4_1 || type == TensorType::kQ5_0 ||
         type == TensorType::kQ5_1 || type == TensorType::kQ8_0;
}

Tensor FakeQuantize(const Tensor& weight, TensorType type) {
  if (!CanFakeQuantize(type) || weight.size(-1) % 32 != 0) return weight;
  return FakeQuantFunction::apply(weight, static_cast<int64_t>(type));
}

}  // namespace hearth::forge
