// Two models side by side, on tiny ones with random weights.

#include "runtime/engine/model_pair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

using hearth::testing::TinyModelOptions;
using hearth::testing::WriteTinyModel;
using ::testing::HasSubstr;

class ModelPairTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    options_.num_threads = 1;
    options_.use_disk_cache = false;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Model(const std::string& name, const TinyModelOptions& options) const {
    const std::string path = folder_ + "/" + name + ".gguf";
    EXPECT_TRUE(WriteTinyModel(path, options));
    return path;
  }
  KvAgreement Compare(const std::string& reference, const std::string& model) const {
    auto pair = ModelPair::Load(reference, model, options_);
    EXPECT_TRUE(pair) << pair.error().message;
    const auto tokens = (*pair)->Encode("The quick brown fox jumps over the lazy dog, twice.");
    const auto result = (*pair)->Compare(tokens, 10);
    EXPECT_TRUE(result) << result.error().message;
    return result.value_or(KvAgreement{});
  }

  const std::string folder_ =
      ::testing::TempDir() + "model_pair_test_" + std::to_string(::getpid());
  EngineOptions options_;
};

TEST_F(ModelPairTest, AModelAgreesWithItself) {
  const std::string path = Model("a", {});
  const KvAgreement agreement = Compare(path, path);
  EXPECT_NEAR(agreement.kl, 0, 1e-9);
  EXPECT_EQ(agreement.top1, 1);
  EXPECT_EQ(agreement.nll, agreement.nll_reduced);
  EXPECT_GT(agreement.num_positions, 30);
}

TEST_F(ModelPairTest, CoarserWeightsAreAtADistanceAndOthersFurther) {
  const std::string source =
      Model("f32", {.type = TensorType::kF32, .head_type = TensorType::kF32});
  const std::string fine = Model("q8", {.type = TensorType::kQ8_0, .head_type = TensorType::kQ8_0});
  const std::string coarse =
      Model("q4", {.type = TensorType::kQ4_0, .head_type = TensorType::kQ4_0});
  const std::string other = Model("other", {.seed = 2});
  const double near = Compare(source, fine).kl, far = Compare(source, coarse).kl;
  EXPECT_GT(near, 0);
  EXPECT_GT(far, near);
  EXPECT_GT(Compare(source, other).kl, far);
}

TEST_F(ModelPairTest, OtherVocabulariesAreRefused) {
  const std::string a = Model("a", {}), b = Model("b", {.first_token = "changed"});
  const auto pair = ModelPair::Load(a, b, options_);
  ASSERT_FALSE(pair);
  EXPECT_THAT(pair.error().message, HasSubstr("token 0 is not the same text"));
}

TEST_F(ModelPairTest, APositionWithNothingBehindItIsRefused) {
  const std::string path = Model("a", {});
  auto pair = ModelPair::Load(path, path, options_);
  ASSERT_TRUE(pair);
  const std::vector<TokenId> tokens = {1, 2, 3};
  EXPECT_FALSE((*pair)->Compare(tokens, 2));
  EXPECT_FALSE((*pair)->Compare(tokens, -1));
  EXPECT_TRUE((*pair)->Compare(tokens, 1));
}

}  // namespace
}  // namespace hearth
