#include "training/draft/unrolled_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "training/model/torch_compat_attention.h"

namespace hearth::forge {
namespace {

struct Inputs {
  Tensor q, base_keys, base_values, own_keys, own_values;
  std::vector<Tensor> all() const { return {q, base_keys, base_values, own_keys, own_values}; }
};

Inputs RandomInputs(int64_t rows, int64_t heads, int64_t kv_heads, int64_t dim, int64_t steps) {
  SeedGenerator(at::kCPU, 5);
  const auto random = [](at::IntArrayRef shape) {
    return at::randn(shape).mul_(0.8).requires_grad_(true);
  };
  return {random({rows, heads, dim}), random({rows, kv_heads, dim}), random({rows, kv_heads, dim}),
          random({rows, steps, kv_heads, dim}), random({rows, steps, kv_heads, dim})};
}

// Row by row, as it is said.
Tensor Reference(const Inputs& in, const std::vector<int64_t>& lengths) {
  const int64_t heads = in.q.size(1), groups = heads / in.base_keys.size(1), dim = in.q.size(2);
  std::vector<Tensor> rows;
  int64_t begin = 0;
  for (const int64_t length : lengths) {
    for (int64_t row = begin; row < begin + length; ++row) {
      std::vector<Tensor> outs;
      for (int64_t head = 0; head < heads; ++head) {
        const auto part = [&](const Tensor& base, const Tensor& own) {
          return at::cat({base.narrow(0, begin, row - begin + 1).select(1, head / groups),
                          own.select(0, row).select(1, head / groups)});
        };
        const Tensor keys = part(in.base_keys, in.own_keys);
        const Tensor scores =
            at::mv(keys, in.q.select(0, row).select(0, head)).div(std::sqrt(double(dim)));
        outs.push_back(at::mv(part(in.base_values, in.own_values).t(), at::softmax(scores, 0)));
      }
      rows.push_back(at::stack(outs));
    }
    begin += length;
  }
  return at::stack(rows);
}

TEST(UnrolledAttention, SeesTheBasesKeysUpToTheAnchorAndItsOwn) {
  const std::vector<int64_t> lengths = {5, 1, 7};
  for (const int64_t steps : {1, 3}) {
    const Inputs in = RandomInputs(13, 4, 2, 8, steps);
    const SegmentLayout layout = SegmentLayout::Make(lengths, at::kCPU);
    const Tensor out =
        UnrolledAttention(in.q, in.base_keys, in.base_values, in.own_keys, in.own_values, layout);
    const Tensor expected = Reference(in, lengths);
    EXPECT_LT((out - expected).abs().max().item<double>(), 1e-5);
    const Tensor above = at::randn(out.sizes());
    const auto gradients = torch::autograd::grad({out}, in.all(), {above});
    const auto wanted = torch::autograd::grad({expected}, in.all(), {above});
    for (size_t i = 0; i < gradients.size(); ++i)
      EXPECT_LT((gradients[i] - wanted[i]).abs().max().item<double>(), 1e-5) << i;
  }
}

TEST(UnrolledAttention, OnAGpuIsWhatItIsHere) {
  const auto device = ParseDevice("cuda");
  if (!device) GTEST_SKIP() << "no GPU here";
  const std::vector<int64_t> lengths = {50, 1, 77};
  const Inputs in = RandomInputs(128, 6, 2, 64, 4);
  const auto run = [&](const at::Device& where, at::ScalarType type) {
    std::vector<Tensor> leaves;
    for (const Tensor& tensor : in.all())
      leaves.push_back(tensor.detach().to(where, type).requires_grad_(true));
    const Tensor out = UnrolledAttention(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4],
                                         SegmentLayout::Make(lengths, where));
    SeedGenerator(at::kCPU, 9);
    const Tensor above = at::randn(out.sizes()).to(where, type);
    std::vector<Tensor> results = torch::autograd::grad({out}, leaves, {above});
    results.push_back(out);
    for (Tensor& result : results) result = result.detach().to(at::kCPU, at::kFloat);
    return results;
  };
  const auto expected = run(at::kCPU, at::kFloat);
  const auto half = run(*device, at::kBFloat16);
  for (size_t i = 0; i < expected.size(); ++i) {
    const double size = expected[i].square().mean().sqrt().item<double>();
    EXPECT_LT((half[i] - expected[i]).square().mean().sqrt().item<double>(), 0.02 * size) << i;
  }
}

TEST(PackedAttentionHalves, GiveWhatTheWholeGives) {
  const std::vector<int64_t> lengths = {4, 6};
  const Inputs in = RandomInputs(10, 6, 2, 8, 1);
  const SegmentLayout layout = SegmentLayout::Make(lengths, at::kCPU);
  const Tensor whole = PackedCausalAttention(in.q, in.base_keys, in.base_values, lengths,
                                             layout.cu_lengths, layout.max_length);
  const PackedAttentionResult half = PackedAttentionForward(
      in.q, in.base_keys, in.base_values, lengths, layout.cu_lengths, layout.max_length);
  EXPECT_LT((whole - half.out).abs().max().item<double>(), 1e-5);
  const Tensor above = at::randn(whole.sizes());
  const auto wanted = torch::autograd::grad({whole}, {in.q, in.base_keys, in.base_values}, {above});
  const auto gradients = PackedAttentionBackward(above, in.q, in.base_keys, in.base_values, half,
                                                 lengths, layout.cu_lengths, layout.max_length);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_LT((gradients[i] - wanted[i]).abs().max().item<double>(), 1e-5) << i;
}

}  // namespace
}  // namespace hearth::forge
