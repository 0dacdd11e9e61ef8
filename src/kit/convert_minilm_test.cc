// all-MiniLM-L6-v2 as published, converted, against sentence-transformers
// (tests/golden/convert/minilm.txt), long texts that it cuts off among them. Needs the development
// models.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "kit/convert.h"
#include "kit/testing/golden_lines.h"
#include "kit/testing/scratch_folder.h"
#include "runtime/engine/engine.h"

namespace hearth {
namespace {

using hearth::testing::kConvertGoldens;

class ConvertMinilmTest : public hearth::testing::ScratchFolderTest {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("HEARTH_MODELS");
    const char* home = std::getenv("HOME");
    model_ = (folder ? folder : std::string(home ? home : "") + "/.cache/hearth-models") +
             "/all-MiniLM-L6-v2";
    if (!std::filesystem::exists(model_ + "/model.safetensors"))
      GTEST_SKIP() << "development model absent: " << model_;
  }

  void ExpectCosines(std::optional<TensorType> type, ActivationType activations, double least) {
    const std::string path = scratch_ + "minilm.gguf";
    const Status status = ConvertHuggingFace({model_, path, type, {}});
    ASSERT_TRUE(status) << status.error().message;
    EngineOptions options;
    options.use_disk_cache = false;
    options.activations = activations;
    const auto engine = Engine::Load(path, options);
    ASSERT_TRUE(engine) << engine.error().message;
    std::string text;
    double least_seen = 1;
    int num_texts = 0, most_tokens = 0;
    for (const auto& [name, value] :
         hearth::testing::ReadGoldenLines(kConvertGoldens + "minilm.txt")) {
      if (name == "text") {
        text = hearth::testing::Unescaped(value);
        continue;
      }
      const auto theirs = hearth::testing::Numbers<double>(value);
      const auto ours = (*engine)->Embed(text);
      ASSERT_TRUE(ours) << ours.error().message;
      ASSERT_EQ(ours->values.size(), theirs.size());
      double product = 0, our_norm = 0, their_norm = 0;
      for (size_t i = 0; i < theirs.size(); ++i) {
        product += ours->values[i] * theirs[i];
        our_norm += std::pow(ours->values[i], 2);
        their_norm += std::pow(theirs[i], 2);
      }
      const double cosine = product / std::sqrt(our_norm * their_norm);
      EXPECT_GE(cosine, least) << text;
      EXPECT_NEAR(our_norm, 1, 1e-4) << text;
      most_tokens = std::max(most_tokens, ours->num_tokens);
      least_seen = std::min(least_seen, cosine);
      ++num_texts;
    }
    EXPECT_EQ(num_texts, 22);
    EXPECT_EQ(most_tokens, 256) << "max_seq_length of sentence_bert_config.json";
    std::printf("least cosine %.7f\n", least_seen);
  }

  std::string model_;
};

// Measured, least of all texts: 1 to seven digits with the weights as stored and 0.9999997 as F16,
// 0.99909 with weights and activations of 8 bits, 0.99967 with float activations.
TEST_F(ConvertMinilmTest, EmbeddingsAreTheReferences) {
  ExpectCosines({}, ActivationType::kInt8, 0.99999);
}

TEST_F(ConvertMinilmTest, HalfPrecisionEmbeddingsAreTheReferences) {
  ExpectCosines(TensorType::kF16, ActivationType::kInt8, 0.99999);
}

TEST_F(ConvertMinilmTest, EightBitEmbeddingsStayClose) {
  ExpectCosines(TensorType::kQ8_0, ActivationType::kInt8, 0.999);
  ExpectCosines(TensorType::kQ8_0, ActivationType::kF32, 0.9995);
}

}  // namespace
}  // namespace hearth
