// A prefix is computed once: by the next turn, by other users, and by another process; and whoever
// begins with a kept prefix answers as if it had computed it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "runtime/engine/engine.h"
#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

using hearth::testing::TinyModelOptions;
using hearth::testing::WriteTinyModel;
using ::testing::HasSubstr;

struct Answer {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  GenerateStats stats;

  bool SameText(const Answer& other) const {
    return tokens == other.tokens && logprobs == other.logprobs;
  }
};

// Not the same for any two seeds, from the first token on.
std::vector<TokenId> Text(uint32_t seed, int num_tokens) {
  std::vector<TokenId> tokens(static_cast<size_t>(num_tokens));
  uint32_t state = seed * 7919u + 77u;
  for (TokenId& token : tokens)
    token = static_cast<TokenId>((state = state * 1664525u + 1013904223u) >> 24);
  tokens[0] = static_cast<TokenId>(seed % 256);
  return tokens;
}

std::vector<TokenId> Join(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class PrefixCacheTest : public ::testing::TestWithParam<KvType> {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "hearth_prefix_" + std::to_string(::getpid()) + "/";
    model_ = folder_ + "model.gguf";
    file_ = folder_ + "session.kv";
    std::filesystem::create_directories(folder_);
    ASSERT_TRUE(WriteTinyModel(model_, {.num_layers = 3}));
    options_.use_disk_cache = false;
    options_.check_kv_type = false;
    options_.num_threads = 2;
    options_.kv_type = GetParam();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Engine> Load() const { return Load(model_, options_); }
  static std::unique_ptr<Engine> Load(const std::string& path, const EngineOptions& options) {
    auto engine = Engine::Load(path, options);
    EXPECT_TRUE(engine) << engine.error().message;
    return std::move(*engine);
  }

  static Answer Run(Engine& engine, std::vector<TokenId> prompt, int max_tokens = 12) {
    return RunTogether(engine, {std::move(prompt)}, max_tokens)[0];
  }
  static std::vector<Answer> RunTogether(Engine& engine,
                                         const std::vector<std::vector<TokenId>>& prompts,
                                         int max_tokens = 12) {
    struct Pending {
      Answer answer;
      std::promise<void> done;
    };
    std::vector<Pending> pending(prompts.size());
    for (size_t i = 0; i < prompts.size(); ++i) {
      GenerateRequest request;
      request.prompt = prompts[i];
      request.max_tokens = max_tokens;
      request.ignore_end_of_turn = true;
      request.sampling.temperature = 0.8f;
      request.sampling.seed = 3;
      request.sampling.num_top_logprobs = 1;
      const auto id = engine.Submit(std::move(request), [&one = pending[i]](GenerateEvent event) {
        for (const GeneratedToken& token : event.tokens) {
          one.answer.tokens.push_back(token.sampled.id);
          one.answer.logprobs.push_back(token.sampled.logprob);
        }
        one.answer.stats = event.stats;
        if (event.finished) one.done.set_value();
      });
      EXPECT_TRUE(id) << id.error().message;
    }
    std::vector<Answer> answers;
    for (Pending& one : pending) {
      one.done.get_future().wait();
      answers.push_back(std::move(one.answer));
    }
    return answers;
  }

  // Of so many known tokens, what a later request finds: the last block's part too, but for int4.
  static int Found(int num_tokens) {
    return GetParam() == KvType::kInt4 ? num_tokens / 64 * 64 : num_tokens;
  }

  std::string folder_;
  std::string model_, file_;
  EngineOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Types, PrefixCacheTest,
                         ::testing::Values(KvType::kF16, KvType::kInt8, KvType::kInt8Int4,
                                           KvType::kInt4));

TEST_P(PrefixCacheTest, ASecondTurnComputesOnlyWhatIsNew) {
  const auto engine = Load();
  const std::vector<TokenId> prompt = Text(1, 150);
  const Answer first = Run(*engine, prompt, 60);
  EXPECT_EQ(first.stats.cached_tokens, 0);
  // Of 150 + 60 tokens all but the last are computed.
  const std::vector<TokenId> second = Join(Join(prompt, first.tokens), Text(2, 30));
  const Answer again = Run(*engine, second);
  EXPECT_EQ(again.stats.prompt_tokens, 240);
  EXPECT_EQ(again.stats.cached_tokens, Found(209));
  EXPECT_EQ(engine->load().prefix_queries, 150 + 240);
  EXPECT_EQ(engine->load().prefix_hits, Found(209));
  EXPECT_TRUE(again.SameText(Run(*Load(), second)));
}

TEST_P(PrefixCacheTest, UsersShareASystemPrompt) {
  const auto engine = Load();
  const std::vector<TokenId> system = Text(1, 130);
  Run(*engine, Join(system, Text(2, 40)));
  const std::vector<TokenId> other = Join(system, Text(3, 40));
  const Answer shared = Run(*engine, other);
  EXPECT_EQ(shared.stats.cached_tokens, Found(130));
  EXPECT_TRUE(shared.SameText(Run(*Load(), other)));
}

// Chats that start together compute the shared beginning side by side; each finds all of its own
// blocks at its second turn nevertheless.
TEST_P(PrefixCacheTest, ChatsThatStartTogetherKeepWhatIsTheirs) {
  const auto engine = Load();
  const std::vector<TokenId> system = Text(1, 70);
  const std::vector<std::vector<TokenId>> first = {
      Join(system, Text(2, 80)), Join(system, Text(3, 80)), Join(system, Text(4, 80))};
  const std::vector<Answer> answers = RunTogether(*engine, first, 50);
  std::vector<std::vector<TokenId>> second;
  for (size_t i = 0; i < first.size(); ++i)
    second.push_back(Join(Join(first[i], answers[i].tokens), Text(9, 30)));
  const std::vector<Answer> again = RunTogether(*engine, second);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(again[i].stats.cached_tokens, Found(199)) << "chat " << i;
    EXPECT_TRUE(answers[i].SameText(Run(*Load(), first[i], 50))) << "chat " << i;
    EXPECT_TRUE(again[i].SameText(Run(*Load(), second[i]))) << "chat " << i;
  }
}

TEST_P(PrefixCacheTest, AtLeastOneTokenIsComputed) {
  const auto engine = Load();
  const std::vector<TokenId> prompt = Text(1, 128);
  const Answer first = Run(*engine, prompt);
  const Answer again = Run(*engine, prompt);
  EXPECT_EQ(again.stats.cached_tokens, Found(127));
  EXPECT_TRUE(again.SameText(first));
}

// The budget holds one context: an old conversation goes when a new one needs its room, the one
// used since stays.
TEST_P(PrefixCacheTest, TheBudgetHoldsAndTheLeastRecentlyUsedGoes) {
  options_.context_length = 512;
  options_.max_sequences = 1;
  options_.max_batch_tokens = 64;
  options_.kv_budget_bytes = 1;
  const auto refused = Engine::Load(model_, options_);
  ASSERT_FALSE(refused);
  // "a context of 512 tokens needs N bytes"
  const std::string& message = refused.error().message;
  options_.kv_budget_bytes = std::stoll(message.substr(message.find("needs ") + 6));
  const auto engine = Load();
  Run(*engine, Text(1, 200), 1);
  Run(*engine, Text(2, 200), 1);
  EXPECT_EQ(Run(*engine, Text(1, 200), 1).stats.cached_tokens, Found(199));  // used again
  Run(*engine, Text(3, 200), 1);                                             // takes the room of 2
  EXPECT_EQ(Run(*engine, Text(1, 200), 1).stats.cached_tokens, Found(199));
  EXPECT_LT(Run(*engine, Text(2, 200), 1).stats.cached_tokens, 192);
}

// The part of a block that an answer ended in goes on, whoever asks first; another end of the same
// beginning finds what it shares with it.
TEST_P(PrefixCacheTest, APartOfABlockIsFoundByAllThatBeginWithIt) {
  const auto engine = Load();
  const std::vector<TokenId> prompt = Text(1, 40);  // not even one block
  const Answer first = Run(*engine, prompt, 11);
  const std::vector<TokenId> next = Join(Join(prompt, first.tokens), Text(2, 60));
  const Answer second = Run(*engine, next);
  EXPECT_EQ(second.stats.cached_tokens, Found(50));
  const std::vector<TokenId> other = Join(prompt, Text(3, 60));
  const Answer third = Run(*engine, other);
  EXPECT_EQ(third.stats.cached_tokens, Found(40));
  EXPECT_TRUE(second.SameText(Run(*Load(), next)));
  EXPECT_TRUE(third.SameText(Run(*Load(), other)));
  // Both ends were copies: the first block of each is still right.
  EXPECT_TRUE(first.SameText(Run(*engine, prompt, 11)));
  EXPECT_TRUE(second.SameText(Run(*engine, next)));
}

TEST_P(PrefixCacheTest, ARestoredConversationGoesOnAsIfItHadNeverEnded) {
  const std::vector<TokenId> prompt = Text(1, 150);
  std::vector<TokenId> second;
  Answer expected;
  {
    const auto engine = Load();
    const std::vector<TokenId> history = Join(prompt, Run(*engine, prompt, 60).tokens);
    const auto saved = engine->SaveSession(file_, history);
    ASSERT_TRUE(saved) << saved.error().message;
    EXPECT_EQ(*saved, 192);
    second = Join(history, Text(2, 30));
    expected = Run(*engine, second);
  }
  const auto engine = Load();
  const auto restored = engine->RestoreSession(file_);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(*restored, 192);
  const Answer answer = Run(*engine, second);
  EXPECT_EQ(answer.stats.cached_tokens, 192);
  EXPECT_TRUE(answer.SameText(expected));
  EXPECT_TRUE(answer.SameText(Run(*Load(), second)));
}

TEST_P(PrefixCacheTest, RestoringTwiceTakesNoMoreRoom) {
  const auto engine = Load();
  Run(*engine, Text(1, 200));
  ASSERT_TRUE(engine->SaveSession(file_, Text(1, 200)));
  EXPECT_EQ(engine->RestoreSession(file_).value(), 192);
  EXPECT_EQ(engine->RestoreSession(file_).value(), 192);
  EXPECT_EQ(engine->SaveAllSessions(file_, int64_t{1} << 30).value(), 192);
}

TEST_P(PrefixCacheTest, EverythingKeptSurvivesARestart) {
  const std::vector<TokenId> system = Text(1, 130);
  const std::vector<TokenId> users[] = {Join(system, Text(2, 70)), Join(system, Text(3, 140))};
  {
    const auto engine = Load();
    for (const auto& user : users) Run(*engine, user);
    // two blocks of the system prompt, one and two of the users
    EXPECT_EQ(engine->SaveAllSessions(file_, int64_t{1} << 30).value(), 5 * 64);
  }
  const auto engine = Load();
  EXPECT_EQ(engine->RestoreSession(file_).value(), 5 * 64);
  EXPECT_EQ(Run(*engine, users[0]).stats.cached_tokens, 192);
  EXPECT_EQ(Run(*engine, users[1]).stats.cached_tokens, 256);
}

TEST_P(PrefixCacheTest, ASmallFileKeepsWhatWasUsedLast) {
  const auto engine = Load();
  Run(*engine, Text(1, 200));
  Run(*engine, Text(2, 200));
  const int64_t block_bytes = engine->description().kv_bytes_per_token * 64;
  EXPECT_EQ(engine->SaveAllSessions(file_, 4 * block_bytes + 1024).value(), 4 * 64);
  const auto next = Load();
  ASSERT_TRUE(next->RestoreSession(file_));
  EXPECT_EQ(Run(*next, Text(2, 200)).stats.cached_tokens, 192);
  const auto third = Load();
  ASSERT_TRUE(third->RestoreSession(file_));
  EXPECT_EQ(Run(*third, Text(1, 200)).stats.cached_tokens, 64);
}

TEST_P(PrefixCacheTest, KvOfAnotherModelOrTypeIsRefused) {
  const auto engine = Load();
  Run(*engine, Text(1, 200));
  ASSERT_TRUE(engine->SaveSession(file_, Text(1, 200)));
  const auto refusal = [&](const std::string& model, const EngineOptions& options) {
    const auto other = Load(model, options);
    const auto restored = other->RestoreSession(file_);
    EXPECT_FALSE(restored);
    EXPECT_EQ(Run(*other, Text(1, 200)).stats.cached_tokens, 0);
    return restored ? std::string() : restored.error().message;
  };
  const std::string other_model = folder_ + "other.gguf";  // same shape, other weights
  ASSERT_TRUE(WriteTinyModel(other_model, {.num_layers = 3, .seed = 2}));
  EXPECT_THAT(refusal(other_model, options_), HasSubstr("another model"));
  EngineOptions other_type = options_;
  other_type.kv_type = options_.kv_type == KvType::kF16 ? KvType::kInt8 : KvType::kF16;
  EXPECT_THAT(refusal(model_, other_type), HasSubstr("KV type"));
  EngineOptions other_activations = options_;
  other_activations.activations = ActivationType::kF32;
  EXPECT_THAT(refusal(model_, other_activations), HasSubstr("activations"));
}

TEST_P(PrefixCacheTest, ADamagedFileLeavesTheCacheAsItWas) {
  const auto engine = Load();
  Run(*engine, Text(1, 200));
  ASSERT_TRUE(engine->SaveSession(file_, Text(1, 200)));
  {
    std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(-1, std::ios::end);
    const auto last = static_cast<char>(file.get() ^ 1);
    file.seekp(-1, std::ios::end);
    file.put(last);
  }
  const auto other = Load();
  const auto restored = other->RestoreSession(file_);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(Run(*other, Text(1, 200)).stats.cached_tokens, 0);
  EXPECT_EQ(other->load().kv_usage, 0);
}

TEST_P(PrefixCacheTest, MoreThanFitsIsRestoredAsFarAsThereIsRoom) {
  const auto engine = Load();
  for (uint32_t seed = 1; seed <= 8; ++seed) Run(*engine, Text(seed, 200));
  ASSERT_EQ(engine->SaveAllSessions(file_, int64_t{1} << 30).value(), 8 * 192);
  EngineOptions small = options_;
  small.context_length = 256;
  small.max_sequences = 1;
  const auto other = Load(model_, small);  // four contexts of four blocks
  EXPECT_EQ(other->RestoreSession(file_).value(), 16 * 64);
  EXPECT_EQ(Run(*other, Text(8, 200)).stats.cached_tokens, 192);
}

}  // namespace
}  // namespace hearth
