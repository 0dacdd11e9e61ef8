// Torch tensors in GGUF files: the values that come back, the order of rows, what is refused.
#include "training/export/gguf_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kit/testing/scratch_folder.h"
#include "runtime/quant/quant.h"

namespace hearth::forge {
namespace {

using ::testing::HasSubstr;

class GgufTensors : public hearth::testing::ScratchFolderTest {
 protected:
  Result<GgufFile> WriteAndOpen(const GgufWriter& writer) {
    const std::string path = scratch_ + "t.gguf";
    HEARTH_RETURN_IF_ERROR(writer.Write(path));
    return GgufFile::Open(path);
  }

  static Tensor Values(const GgufTensor& tensor) {
    const auto rows = static_cast<int64_t>(tensor.num_rows());
    const auto columns = static_cast<int64_t>(tensor.num_columns());
    Tensor values = at::empty({rows, columns}, at::TensorOptions().dtype(at::kFloat));
    DequantizeRow(tensor.type, tensor.data,
                  {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
    return values;
  }
};

TEST_F(GgufTensors, EveryTypeGivesTheValuesBackWithinItsError) {
  const Tensor matrix = at::randn({7, 512});
  for (const auto& [type, error] : std::vector<std::pair<TensorType, double>>{
           {TensorType::kF32, 0},       {TensorType::kF16, 1e-3},   {TensorType::kBF16, 5e-3},
           {TensorType::kQ8_0, 0.01},   {TensorType::kQ6_K, 0.04},  {TensorType::kQ5_K, 0.08},
           {TensorType::kQ4_K, 0.15},   {TensorType::kQ4_0, 0.15},  {TensorType::kQ4_1, 0.15},
           {TensorType::kIQ4_NL, 0.15}, {TensorType::kQ3_K, 0.25},  {TensorType::kQ2_K, 0.5}}) {
    GgufWriter writer;
    ASSERT_TRUE(AddGgufTensor(writer, "m", matrix, {type}));
    const auto file = WriteAndOpen(writer);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->tensors()[0].type, type);
    const double rms = (Values(file->tensors()[0]) - matrix).square().mean().sqrt().item<double>();
    EXPECT_LE(rms, error) << InfoOf(type).name;
  }
}

TEST_F(GgufTensors, ManyPiecesViewsAndHalfPrecisionAreTheSameValues) {
  const Tensor wide = at::randn({3000, 1024}).to(at::kBFloat16);  // more than one piece
  const Tensor view = at::randn({64, 96}).t();                    // columns apart
  const Tensor norm = at::randn({96}).to(at::kHalf);
  GgufWriter writer;
  ASSERT_TRUE(AddGgufTensor(writer, "wide", wide, {TensorType::kBF16}));
  ASSERT_TRUE(AddGgufTensor(writer, "view", view, {}));
  ASSERT_TRUE(AddGgufTensor(writer, "norm", norm, {TensorType::kQ4_0}));
  const auto file = WriteAndOpen(writer);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(at::equal(Values(*file->FindTensor("wide")), wide.to(at::kFloat)));
  EXPECT_TRUE(at::equal(Values(*file->FindTensor("view")), view));
  EXPECT_EQ(file->FindTensor("norm")->type, TensorType::kF32);
  EXPECT_TRUE(at::equal(Values(*file->FindTensor("norm"))[0], norm.to(at::kFloat)));
}

TEST_F(GgufTensors, HalvesOfHeadsAreInterleaved) {
  const Tensor rows = at::arange(16, at::TensorOptions().dtype(at::kFloat)).view({16, 1});
  GgufWriter writer;
  ASSERT_TRUE(AddGgufTensor(writer, "q", rows, {TensorType::kF32, 8}));
  ASSERT_TRUE(AddGgufTensor(writer, "q_bias", rows.view({16}), {TensorType::kF32, 8}));
  const auto file = WriteAndOpen(writer);
  ASSERT_TRUE(file) << file.error().message;
  const std::vector<float> expected = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15};
  EXPECT_TRUE(at::equal(Values(*file->FindTensor("q")).view({16}), at::tensor(expected)));
  EXPECT_TRUE(at::equal(Values(*file->FindTensor("q_bias")).view({16}), at::tensor(expected)));
}

TEST_F(GgufTensors, RowsThatFitNoBlockBecomeF16) {
  GgufWriter writer;
  ASSERT_TRUE(AddGgufTensor(writer, "m", at::ones({4, 96}), {TensorType::kQ4_K}));
  const auto file = WriteAndOpen(writer);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->tensors()[0].type, TensorType::kF16);
}

TEST_F(GgufTensors, WhatCannotBeStoredIsRefusedByName) {
  GgufWriter writer;
  const auto error = [&](const Tensor& tensor, const GgufTensorOptions& options = {}) {
    const Status status = AddGgufTensor(writer, "blk.3.x", tensor, options);
    return status ? "" : status.error().message;
  };
  EXPECT_THAT(error({}), HasSubstr("blk.3.x has no values"));
  EXPECT_THAT(error(at::ones({2, 2, 2})), HasSubstr("[2, 2, 2]"));
  EXPECT_THAT(error(at::ones({4}, at::kLong)), HasSubstr("floating"));
  EXPECT_THAT(error(at::ones({12, 4}), {TensorType::kF32, 8}), HasSubstr("heads of 8"));
  Tensor broken = at::ones({3, 4});
  broken[2][1] = std::nan("");
  ASSERT_TRUE(AddGgufTensor(writer, "blk.4.y", broken, {}));
  const auto file = WriteAndOpen(writer);
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("blk.4.y has the value nan at row 2, column 1"));
  GgufWriter half;
  ASSERT_TRUE(AddGgufTensor(half, "large", at::full({1, 4}, 70000.0), {TensorType::kF16}));
  EXPECT_THAT(WriteAndOpen(half).error().message, HasSubstr("which F16 does not hold"));
}

TEST_F(GgufTensors, FileTypeIsTheOneOfTheMatrices) {
  GgufWriter writer;
  SetGgufFileType(writer, TensorType::kQ8_0);
  ASSERT_TRUE(AddGgufTensor(writer, "m", at::ones({1, 32}), {TensorType::kQ8_0}));
  const auto file = WriteAndOpen(writer);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->GetIntOr("general.file_type", -1).value(), 7);
}

}  // namespace
}  // namespace hearth::forge
