#include "apps/hearth/score_windows.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <span>

#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

constexpr int kWindow = 24;
constexpr int kWindows = 5;

class ScoreWindowsTest : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  std::unique_ptr<Engine> Load(bool adds_bos) {
    testing::TinyModelOptions model;
    model.adds_bos = adds_bos;
    EXPECT_TRUE(testing::WriteTinyModel(path_, model));
    EngineOptions options;
    options.num_threads = 1;
    options.use_disk_cache = false;
    auto engine = Engine::Load(path_, options);
    EXPECT_TRUE(engine) << engine.error().message;
    return std::move(*engine);
  }
  static double Mean(Engine& engine, std::vector<TokenId> tokens, std::optional<TokenId> first) {
    ScoreSum sum;
    for (int i = 0; i < kWindows; ++i) {
      const std::span<TokenId> window(tokens.data() + i * kWindow, kWindow);
      if (first) window[0] = *first;
      // The second half: tokens 13 to 23, from all before them.
      const std::vector<float> scores = engine.Score(window, kWindow / 2 + 1).value();
      EXPECT_EQ(scores.size(), 11u);
      for (const float score : scores) sum.Add(score);
    }
    return sum.MeanNll();
  }
  static std::vector<TokenId> Text(const Engine& engine) {
    std::string text;
    for (int i = 0; i < kWindow * kWindows + 7; ++i) text += static_cast<char>('a' + i * i % 23);
    return engine.tokenizer().Encode(text, /*add_special=*/true);
  }

  const std::string path_ =
      ::testing::TempDir() + "score_windows_" + std::to_string(getpid()) + ".gguf";
};

TEST_F(ScoreWindowsTest, BosTakesThePlaceOfEachWindowsFirstTokenWhereTheTokenizerAddsOne) {
  const auto engine = Load(true);
  const std::vector<TokenId> tokens = Text(*engine);
  ASSERT_EQ(tokens[0], testing::kTinyEndOfText);
  std::vector<double> progress;
  const auto sum = ScoreWindows(*engine, tokens, kWindow, kWindows,
                                [&](double done) { progress.push_back(done); });
  ASSERT_TRUE(sum) << sum.error().message;
  EXPECT_EQ(sum->count(), 11 * kWindows);
  EXPECT_DOUBLE_EQ(sum->MeanNll(), Mean(*engine, tokens, testing::kTinyEndOfText));
  EXPECT_NE(sum->MeanNll(), Mean(*engine, tokens, std::nullopt));
  EXPECT_EQ(progress, (std::vector<double>{0, 0.2, 0.4, 0.6, 0.8}));
}

TEST_F(ScoreWindowsTest, WithoutABosTheTextStaysAsItIs) {
  const auto engine = Load(false);
  const std::vector<TokenId> tokens = Text(*engine);
  const auto sum = ScoreWindows(*engine, tokens, kWindow, kWindows, [](double) {});
  ASSERT_TRUE(sum) << sum.error().message;
  EXPECT_DOUBLE_EQ(sum->MeanNll(), Mean(*engine, tokens, std::nullopt));
  EXPECT_NE(sum->MeanNll(), Mean(*engine, tokens, testing::kTinyEndOfText));
}

}  // namespace
}  // namespace hearth
