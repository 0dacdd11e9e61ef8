// A draft reads long prompts in parts, whoever else it guesses for, and then guesses as one that
// read them at once.

#include "runtime/spec_decode/draft_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class TakeAll : public DraftBudget {
 public:
  bool WorthDrafting(const DraftCost& cost) override {
    once_ms = std::max(once_ms, cost.once_ms);
    return true;
  }
  bool Take(float) override { return true; }
  void Spent(double ms) override { spent_ms += ms; }
  double once_ms = 0, spent_ms = 0;
};

std::vector<TokenId> Text(uint32_t seed, int num_tokens) {
  std::vector<TokenId> tokens(static_cast<size_t>(num_tokens));
  uint32_t state = seed * 7919u + 77u;
  for (TokenId& token : tokens)
    token = static_cast<TokenId>((state = state * 1664525u + 1013904223u) >> 24);
  return tokens;
}

class DraftModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "draft_model_test_" + std::to_string(::getpid()) + ".gguf";
    ASSERT_TRUE(testing::WriteTinyModel(path_));
    base_ = Open();
    auto tokenizer = Tokenizer::FromGguf(base_);
    ASSERT_TRUE(tokenizer);
    tokenizer_ = std::move(*tokenizer);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  GgufFile Open() const {
    auto file = GgufFile::Open(path_);
    EXPECT_TRUE(file);
    return std::move(*file);
  }
  std::unique_ptr<DraftModel> Load(int max_batch_tokens, KvStorage kv_storage = KvStorage::kF16) {
    DraftModelOptions options;
    options.max_sequences = 4;
    options.max_batch_tokens = max_batch_tokens;
    options.context_length = 512;
    options.kv_storage = kv_storage;
    options.image.use_disk = false;
    auto draft = DraftModel::Load(Open(), *tokenizer_, base_, pool_, options);
    EXPECT_TRUE(draft) << draft.error().message;
    EXPECT_TRUE((*draft)->ReserveKv(64));
    return std::move(*draft);
  }
  // Guesses for sequences 0, 1, ... of these tokens.
  std::vector<std::vector<TokenId>> Propose(DraftModel& draft,
                                            const std::vector<std::vector<TokenId>>& texts) {
    std::vector<Proposal> proposals;
    for (size_t i = 0; i < texts.size(); ++i)
      proposals.push_back({i, texts[i], &sampling_, 4, &budget_, {}});
    std::vector<Proposal*> asked;
    for (Proposal& proposal : proposals) asked.push_back(&proposal);
    draft.Propose(asked);
    std::vector<std::vector<TokenId>> guesses;
    for (Proposal& proposal : proposals) guesses.push_back(std::move(proposal.draft));
    return guesses;
  }

  // What a draft that nothing else came to guesses behind `text`.
  std::vector<TokenId> Expected(const std::vector<TokenId>& text) {
    const auto draft = Load(256);
    std::vector<TokenId> guesses;
    for (int call = 0; call < 40 && guesses.empty(); ++call) guesses = Propose(*draft, {text})[0];
    EXPECT_THAT(guesses, SizeIs(4));
    return guesses;
  }

  std::string path_;
  GgufFile base_;
  ThreadPool pool_{2};
  std::unique_ptr<Tokenizer> tokenizer_;
  SamplingOptions sampling_;
  TakeAll budget_;
};

TEST_F(DraftModelTest, ReadsALongPromptInPartsWhileTheBaseGoesOn) {
  const auto draft = Load(32);
  std::vector<TokenId> text = Text(1, 200);
  std::vector<TokenId> guesses;
  int num_calls = 0;
  for (int64_t read = 0; guesses.empty(); read = draft->num_prompt_tokens(), ++num_calls) {
    ASSERT_LT(num_calls, 20);
    if (num_calls > 0) text.push_back('a');
    guesses = Propose(*draft, {text})[0];
    EXPECT_LE(draft->num_prompt_tokens() - read, 32);
  }
  EXPECT_GE(num_calls, 6);
  EXPECT_GT(budget_.spent_ms, 0) << "what it read was charged";
  EXPECT_GT(budget_.once_ms, 0) << "and was known before";
  EXPECT_EQ(guesses, Expected(text));
}

TEST_F(DraftModelTest, OthersHaveGuessesInTheMeantime) {
  const auto draft = Load(32);
  const std::vector<std::vector<TokenId>> texts = {Text(1, 200), Text(2, 6)};
  const auto guesses = Propose(*draft, texts);
  EXPECT_THAT(guesses[0], IsEmpty());
  EXPECT_THAT(guesses[1], SizeIs(4));
  EXPECT_EQ(guesses[1], Expected(texts[1]));
}

TEST_F(DraftModelTest, APromptThatSeveralShareIsReadOnce) {
  const auto draft = Load(64);
  const std::vector<std::vector<TokenId>> texts(3, Text(1, 200));
  std::vector<std::vector<TokenId>> guesses;
  for (int call = 0; call < 12 && (guesses.empty() || guesses[2].empty()); ++call)
    guesses = Propose(*draft, texts);
  EXPECT_LE(draft->num_prompt_tokens(), 200);
  EXPECT_EQ(guesses[2], Expected(texts[2]));
}

TEST_F(DraftModelTest, Int8KvTakesHalfTheRoom) {
  EXPECT_LT(Load(64, KvStorage::kInt8)->kv_bytes_per_block(),
            Load(64)->kv_bytes_per_block() * 6 / 10);
}

TEST_F(DraftModelTest, WithoutRoomThereAreNoGuesses) {
  const auto draft = Load(256);
  ASSERT_TRUE(draft->ReserveKv(2));
  const std::vector<std::vector<TokenId>> texts = {Text(1, 6), Text(2, 200), Text(3, 6)};
  const auto guesses = Propose(*draft, texts);
  EXPECT_THAT(guesses[0], SizeIs(4));
  EXPECT_THAT(guesses[1], IsEmpty());
}

}  // namespace
}  // namespace hearth
