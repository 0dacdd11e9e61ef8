// Sentence embeddings: the same bits on every instruction set and number of threads, and long texts
// cut off as sentence-transformers cuts them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "runtime/engine/engine.h"
#include "runtime/kernels/dispatch.h"
#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

using hearth::testing::TinyModelOptions;
using ::testing::HasSubstr;

class EmbeddingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "embedding_test_" + std::to_string(getpid()) + ".gguf";
    options_.num_threads = 2;
    options_.use_disk_cache = false;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  void Write(TensorType type, int max_tokens = 0) {
    TinyModelOptions model;
    model.architecture = "bert";
    model.type = model.head_type = type;
    model.max_tokens = max_tokens;
    model.hidden_size = model.ffn_size = 256;
    model.context_length = 96;
    ASSERT_TRUE(hearth::testing::WriteTinyModel(path_, model));
  }
  EmbeddingResult Embed(const std::string& text) {
    const auto engine = Engine::Load(path_, options_);
    EXPECT_TRUE(engine) << engine.error().message;
    if (!engine) return {};
    auto result = (*engine)->Embed(text);
    EXPECT_TRUE(result) << result.error().message;
    return result ? std::move(*result) : EmbeddingResult();
  }
  // "a b c ... z a b ...": one token each.
  static std::string Words(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += {static_cast<char>('a' + i * 7 % 26), ' '};
    return text;
  }

  std::string path_;
  EngineOptions options_;
};

// In child processes, for a process chooses its kernels once; it must not have done so before.
TEST_F(EmbeddingTest, EveryInstructionSetGivesTheSameBits) {
  for (const TensorType type : {TensorType::kQ8_0, TensorType::kQ4_K, TensorType::kF16}) {
    SCOPED_TRACE(InfoOf(type).name);
    Write(type);
    std::vector<std::vector<float>> results;
    for (const KernelTable* table : AvailableKernels()) {
      SCOPED_TRACE(table->name);
      int channel[2];
      ASSERT_EQ(pipe(channel), 0);
      const pid_t child = fork();
      if (child == 0) {
        setenv("HEARTH_FORCE_ISA", table->name, 1);
        if (std::string(Kernels().name) != table->name) _exit(1);
        const std::vector<float> values = Embed(Words(70)).values;
        const size_t size = values.size() * sizeof(float);
        _exit(write(channel[1], values.data(), size) == static_cast<ssize_t>(size) ? 0 : 2);
      }
      close(channel[1]);
      std::vector<float> values(256);
      EXPECT_EQ(read(channel[0], values.data(), values.size() * sizeof(float)),
                static_cast<ssize_t>(values.size() * sizeof(float)));
      close(channel[0]);
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFEXITED(status));
      ASSERT_EQ(WEXITSTATUS(status), 0);
      results.push_back(std::move(values));
      EXPECT_EQ(results.back(), results.front());
    }
    EXPECT_GE(results.size(), 1u);
  }
}

TEST_F(EmbeddingTest, ThreadsChangeNothing) {
  Write(TensorType::kQ8_0);
  const std::vector<float> expected = Embed(Words(70)).values;
  for (const int threads : {1, 3, 4}) {
    options_.num_threads = threads;
    EXPECT_EQ(Embed(Words(70)).values, expected) << threads << " threads";
  }
}

TEST_F(EmbeddingTest, TheTextBeforeDoesNotReachTheNext) {
  Write(TensorType::kQ8_0);
  const auto engine = Engine::Load(path_, options_);
  ASSERT_TRUE(engine);
  const std::vector<float> fresh = (*engine)->Embed("b a c").value().values;
  (*engine)->Embed(Words(90)).value();
  EXPECT_EQ((*engine)->Embed("b a c").value().values, fresh);
}

TEST_F(EmbeddingTest, ALongTextIsCutOffWhereTheModelSays) {
  Write(TensorType::kQ8_0, 16);
  // [CLS], 14 words, [SEP]
  const EmbeddingResult whole = Embed(Words(14));
  EXPECT_EQ(whole.num_tokens, 16);
  for (const int words : {15, 40, 1000}) {
    const EmbeddingResult cut = Embed(Words(words));
    EXPECT_EQ(cut.num_tokens, 16);
    EXPECT_EQ(cut.values, whole.values) << words << " words";
  }
  EXPECT_EQ(Embed(Words(13)).num_tokens, 15);
  EXPECT_NE(Embed(Words(13)).values, whole.values);
}

TEST_F(EmbeddingTest, WithoutAKeyTheContextIsTheEnd) {
  Write(TensorType::kQ8_0);
  const EmbeddingResult whole = Embed(Words(94));
  EXPECT_EQ(whole.num_tokens, 96);
  EXPECT_EQ(Embed(Words(95)).values, whole.values);
  options_.context_length = 16;
  EXPECT_EQ(Embed(Words(95)).num_tokens, 16);
  EXPECT_EQ(Embed(Words(95)).values, Embed(Words(14)).values);
}

TEST_F(EmbeddingTest, AKeyThatMakesNoSenseIsRefused) {
  for (const int max_tokens : {1, 2, 97}) {
    Write(TensorType::kQ8_0, max_tokens);
    const auto engine = Engine::Load(path_, options_);
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(engine.error().message,
                HasSubstr("hearth.embedding.max_tokens is " + std::to_string(max_tokens)));
  }
}

}  // namespace
}  // namespace hearth
