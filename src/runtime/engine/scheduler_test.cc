// What each pass computes: shared beginnings once, short prompts before long ones, and a token for
// everyone who decodes.

#include "runtime/engine/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <filesystem>

#include "runtime/gguf/gguf.h"
#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

using ::testing::UnorderedElementsAre;

struct Answer {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  GenerateStats stats;
  bool finished = false;

  bool SameText(const Answer& other) const {
    return tokens == other.tokens && logprobs == other.logprobs;
  }
};

std::vector<TokenId> Text(uint32_t seed, int num_tokens) {
  std::vector<TokenId> tokens(static_cast<size_t>(num_tokens));
  uint32_t state = seed * 7919u + 77u;
  for (TokenId& token : tokens)
    token = static_cast<TokenId>((state = state * 1664525u + 1013904223u) >> 24);
  return tokens;
}

std::vector<TokenId> Join(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class SchedulerTest : public ::testing::TestWithParam<KvStorage> {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "scheduler_test_" + std::to_string(::getpid()) + ".gguf";
    ASSERT_TRUE(testing::WriteTinyModel(path_, {.num_layers = 3}));
    auto file = GgufFile::Open(path_);
    ASSERT_TRUE(file);
    file_ = std::move(*file);
    auto tokenizer = Tokenizer::FromGguf(file_);
    ASSERT_TRUE(tokenizer);
    tokenizer_ = std::move(*tokenizer);
    DecoderOptions options;
    options.image.use_disk = false;
    auto decoder = Decoder::Load(file_, pool_, options);
    ASSERT_TRUE(decoder) << decoder.error().message;
    decoder_ = std::move(*decoder);
    options_.context_length = 512;
    options_.max_batch_tokens = 64;
    Start(256);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  void Start(int num_blocks) {
    scheduler_.reset();
    auto kv = KvCacheStorage::Create(decoder_->kv_shape(GetParam()), num_blocks);
    ASSERT_TRUE(kv);
    kv_ = std::make_unique<KvCacheStorage>(std::move(*kv));
    scheduler_ = std::make_unique<Scheduler>(*decoder_, *kv_, *tokenizer_, options_);
  }

  // The answer fills itself while the scheduler runs.
  const Answer& Add(std::vector<TokenId> prompt, int max_tokens = 8, uint64_t seed = 3,
                    int prompt_logprobs = -1) {
    Answer& answer = answers_.emplace_back();
    GenerateRequest request;
    request.prompt = std::move(prompt);
    request.max_tokens = max_tokens;
    request.ignore_end_of_turn = true;
    request.sampling.seed = seed;
    request.sampling.temperature = 0.8f;
    request.sampling.num_top_logprobs = 1;
    request.prompt_logprobs = prompt_logprobs;
    // Letters only, so that every token is a whole character and comes at once.
    for (TokenId id = 0; id < testing::kTinyVocabSize; ++id) {
      if (id < 'a' || id > 'z') request.sampling.logit_bias[id] = -1000;
    }
    scheduler_->Add(
        answers_.size(), std::move(request),
        [&answer](const GenerateEvent& event) {
          for (const GeneratedToken& token : event.tokens) {
            answer.tokens.push_back(token.sampled.id);
            answer.logprobs.push_back(token.sampled.logprob);
          }
          answer.stats = event.stats;
          answer.finished = event.finished;
        },
        Scheduler::Clock::now());
    return answer;
  }
  void Step() {
    scheduler_->Step();
    scheduler_->DeliverLastEvents();
  }
  void RunAll() {
    while (!scheduler_->idle()) Step();
  }
  // What it would have been with nothing beside it and nothing kept.
  Answer Alone(const std::vector<TokenId>& prompt, int max_tokens = 8, uint64_t seed = 3) {
    Start(256);
    const Answer& answer = Add(prompt, max_tokens, seed);
    RunAll();
    return answer;
  }

  std::string path_;
  GgufFile file_;
  ThreadPool pool_{2};
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<KvCacheStorage> kv_;
  SchedulerOptions options_;
  std::unique_ptr<Scheduler> scheduler_;
  std::deque<Answer> answers_;
};

INSTANTIATE_TEST_SUITE_P(Types, SchedulerTest,
                         ::testing::Values(KvStorage::kF16, KvStorage::kInt8, KvStorage::kInt4),
                         [](const auto& test) {
                           return test.param == KvStorage::kF16    ? "F16"
                                  : test.param == KvStorage::kInt8 ? "Int8"
                                                                   : "Int4";
                         });

TEST_P(SchedulerTest, ABurstOfEqualPromptsIsComputedOnce) {
  const std::vector<TokenId> prompt = Text(1, 300);
  for (const int batch : {512, 64, 37, 16}) {
    SCOPED_TRACE(batch);
    options_.max_batch_tokens = batch;
    Start(256);
    std::vector<const Answer*> together;
    std::vector<int> cached;
    for (uint64_t seed = 0; seed < 4; ++seed) together.push_back(&Add(prompt, 8, seed));
    RunAll();
    for (const Answer* answer : together) cached.push_back(answer->stats.cached_tokens);
    EXPECT_THAT(cached, UnorderedElementsAre(0, 256, 256, 256));
    EXPECT_EQ(scheduler_->load().prefix_hits, 3 * 256);
    for (uint64_t seed = 0; seed < 4; ++seed)
      EXPECT_TRUE(together[seed]->SameText(Alone(prompt, 8, seed))) << seed;
  }
}

TEST_P(SchedulerTest, ASharedBeginningIsComputedOnceThoughTheEndsDiffer) {
  const std::vector<TokenId> system = Text(1, 130);
  std::vector<std::vector<TokenId>> prompts;
  for (uint32_t i = 0; i < 4; ++i)
    prompts.push_back(Join(system, Text(2 + i, 20 + 40 * static_cast<int>(i))));
  std::vector<const Answer*> together;
  std::vector<int> cached;
  for (const auto& prompt : prompts) together.push_back(&Add(prompt));
  RunAll();
  for (const Answer* answer : together) cached.push_back(answer->stats.cached_tokens);
  EXPECT_THAT(cached, UnorderedElementsAre(0, 128, 128, 128));
  for (size_t i = 0; i < prompts.size(); ++i)
    EXPECT_TRUE(together[i]->SameText(Alone(prompts[i]))) << i;
}

TEST_P(SchedulerTest, WhoComputesForAllMayLeave) {
  const std::vector<TokenId> prompt = Text(1, 300);
  options_.max_batch_tokens = 40;
  Start(256);
  Add(prompt);
  const Answer &second = Add(prompt), &third = Add(prompt);
  Step();
  Step();
  scheduler_->Cancel(1);
  RunAll();
  EXPECT_EQ(second.stats.completion_tokens, 8);
  // the block that the first had finished, and those that one of the two computed for the other
  EXPECT_EQ(second.stats.cached_tokens + third.stats.cached_tokens, 64 + 256);
  EXPECT_TRUE(second.SameText(third));
  EXPECT_TRUE(second.SameText(Alone(prompt)));
}

TEST_P(SchedulerTest, PromptsOfWholeBlocksAndThoseWithLogProbabilitiesComeToTheirEnd) {
  const std::vector<TokenId> prompt = Text(1, 128);
  const Answer &first = Add(prompt), &second = Add(prompt), &scored = Add(prompt, 8, 3, 1);
  RunAll();
  EXPECT_EQ(first.stats.cached_tokens + second.stats.cached_tokens, 64);
  EXPECT_EQ(scored.stats.cached_tokens, 0);
  EXPECT_TRUE(first.SameText(second));
  EXPECT_TRUE(first.SameText(scored));
}

TEST_P(SchedulerTest, EqualPromptsComeToTheSameEndWhereBlocksAreFew) {
  const std::vector<TokenId> prompt = Text(1, 230);
  const Answer expected = Alone(prompt, 80);
  for (const int batch : {64, 23}) {
    options_.context_length = 320;
    options_.max_batch_tokens = batch;
    Start(6);
    std::vector<const Answer*> together;
    for (int i = 0; i < 3; ++i) together.push_back(&Add(prompt, 80));
    together.push_back(&Add(Text(2, 200), 80));
    RunAll();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(together[static_cast<size_t>(i)]->SameText(expected));
    EXPECT_GT(scheduler_->load().preemptions, 0);
    EXPECT_EQ(scheduler_->load().kv_usage, 0);
  }
}

TEST_P(SchedulerTest, AShortPromptOvertakesALongOne) {
  const Answer& long_one = Add(Text(1, 400));
  Step();
  const Answer& short_one = Add(Text(2, 40));
  Step();
  EXPECT_EQ(short_one.tokens.size(), 1u) << "48 of 64 tokens are for the shortest";
  EXPECT_TRUE(long_one.tokens.empty());
  RunAll();
  EXPECT_EQ(long_one.tokens.size(), 8u);
}

TEST_P(SchedulerTest, ALongPromptGetsThroughThoughShortOnesKeepComing) {
  const Answer& long_one = Add(Text(1, 250));
  int num_steps = 0;
  for (uint32_t seed = 2; long_one.tokens.empty() && num_steps < 40; ++seed, ++num_steps) {
    Add(Text(seed, 60), 1);
    Add(Text(seed + 1000, 60), 1);
    Step();
  }
  EXPECT_LE(num_steps, 18) << "16 tokens of each pass are its own";
  RunAll();
}

TEST_P(SchedulerTest, WhoDecodesGetsATokenInEveryPass) {
  const Answer& talking = Add(Text(1, 10), 60);
  Step();
  for (uint32_t seed = 2; seed < 6; ++seed) Add(Text(seed, 250), 4);
  for (size_t i = 2; i < 30; ++i) {
    Step();
    EXPECT_EQ(talking.tokens.size(), i);
  }
  RunAll();
}

}  // namespace
}  // namespace hearth
