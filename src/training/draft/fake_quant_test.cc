#include "training/draft/fake_quant.h"

#include <gtest/gtest.h>

#include "runtime/quant/quant.h"

namespace hearth::forge {
namespace {

TEST(FakeQuantize, RoundsAsTheFileWill) {
  SeedGenerator(at::kCPU, 3);
  Tensor weight = at::randn({20, 64}).mul_(0.05);
  weight.narrow(0, 3, 1).zero_();
  weight.narrow(0, 4, 1).fill_(-0.75);
  for (const TensorType type : {TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ5_0,
                                TensorType::kQ5_1, TensorType::kQ8_0}) {
    ASSERT_TRUE(CanFakeQuantize(type));
    const Tensor rounded = FakeQuantize(weight, type);
    Tensor expected = at::empty_like(weight);
    std::vector<std::byte> bytes(RowBytes(type, 64));
    for (int64_t row = 0; row < 20; ++row) {
      QuantizeRow(type, {weight.data_ptr<float>() + row * 64, 64}, bytes);
      DequantizeRow(type, bytes, {expected.data_ptr<float>() + row * 64, 64});
    }
    // Ties may fall to either side.
    const Tensor differs = (rounded - expected).abs().gt(1e-6);
    EXPECT_LE(differs.sum().item<int64_t>(), 2) << InfoOf(type).name;
    EXPECT_GT((rounded - weight).abs().max().item<double>(), 0);
  }
}

TEST(FakeQuantize, GradientsPassAsThoughNothingHadHappened) {
  const Tensor weight = at::randn({4, 32}).requires_grad_(true);
  const Tensor above = at::randn({4, 32});
  FakeQuantize(weight, TensorType::kQ4_0).mul(above).sum().backward();
  EXPECT_TRUE(at::equal(weight.grad(), above));
}

TEST(FakeQuantize, LeavesOtherTypesAndShapesAlone) {
  const Tensor weight = at::randn({4, 48});
  EXPECT_TRUE(at::equal(FakeQuantize(weight, TensorType::kQ4_0), weight));
  EXPECT_TRUE(
      at::equal(FakeQuantize(weight.narrow(1, 0, 32), TensorType::kF16), weight.narrow(1, 0, 32)));
}

}  // namespace
}  // namespace hearth::forge
