// Speculative decoding writes the text of plain decoding, token by token and log-probability by
// log-probability, whoever guesses and however well.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <future>
#include <map>

#include "runtime/engine/engine.h"
#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

using hearth::testing::TinyModelOptions;
using hearth::testing::WriteTinyModel;
using ::testing::HasSubstr;

struct Answer {
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  GenerateStats stats;
  FinishReason reason = FinishReason::kError;
  std::string stop_matched;

  bool SameText(const Answer& other) const {
    return text == other.text && tokens == other.tokens && logprobs == other.logprobs &&
           reason == other.reason && stop_matched == other.stop_matched;
  }
};

class SpeculationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    ASSERT_TRUE(WriteTinyModel(base_, {.num_layers = 3}));
    ASSERT_TRUE(WriteTinyModel(draft_, {.num_layers = 1, .seed = 2}));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Engine> Load(EngineOptions options) {
    options.use_disk_cache = false;
    options.num_threads = 2;
    auto engine = Engine::Load(base_, options);
    EXPECT_TRUE(engine) << engine.error().message;
    return std::move(*engine);
  }

  static std::vector<Answer> Run(Engine& engine, const std::vector<GenerateRequest>& requests) {
    struct Pending {
      Answer answer;
      std::promise<void> done;
    };
    std::vector<std::unique_ptr<Pending>> pending;
    for (const GenerateRequest& request : requests) {
      auto& one = *pending.emplace_back(std::make_unique<Pending>());
      const auto id = engine.Submit(request, [&one](GenerateEvent event) {
        one.answer.text += event.text;
        for (const GeneratedToken& token : event.tokens) {
          one.answer.tokens.push_back(token.sampled.id);
          one.answer.logprobs.push_back(token.sampled.logprob);
        }
        if (!event.finished) return;
        one.answer.stats = event.stats;
        one.answer.reason = event.finish_reason;
        one.answer.stop_matched = event.stop_matched;
        one.done.set_value();
      });
      EXPECT_TRUE(id) << id.error().message;
    }
    std::vector<Answer> answers;
    for (const auto& one : pending) {
      one->done.get_future().wait();
      answers.push_back(one->answer);
    }
    return answers;
  }

  // Requests of every kind: greedy and sampled, with penalties, stop strings and short limits.
  static std::vector<GenerateRequest> Requests() {
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 10; ++i) {
      GenerateRequest request;
      for (int t = 0; t < 5 + 13 * i; ++t) request.prompt.push_back('a' + (t * (i + 3)) % 11);
      request.max_tokens = i == 7 ? 1 : 90;
      request.ignore_end_of_turn = i % 3 == 0;
      request.sampling.temperature = i % 2 == 0 ? 0.0f : 0.9f;
      request.sampling.seed = static_cast<uint64_t>(100 + i);
      request.sampling.num_top_logprobs = 0;
      if (i == 4) request.sampling.repetition_penalty = 1.2f;
      if (i == 5) request.sampling.top_p = 0.8f;
      if (i == 6) request.sampling.frequency_penalty = 0.3f;
      if (i == 8) request.sampling.logit_bias = {{'x', 2.0f}};
      if (i == 9) request.sampling.top_k = 5;
      requests.push_back(std::move(request));
    }
    return requests;
  }

  // Gives the number of guesses.
  int ExpectSame(const std::vector<GenerateRequest>& requests, const EngineOptions& speculating) {
    EngineOptions plain = speculating;
    plain.ngram_draft = false;
    plain.draft_path.clear();
    const std::vector<Answer> expected = Run(*Load(plain), requests);
    const auto engine = Load(speculating);
    const std::vector<Answer> together = Run(*engine, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_TRUE(together[i].SameText(expected[i])) << "batched, request " << i;
      const std::vector<Answer> alone = Run(*engine, {requests[i]});
      EXPECT_TRUE(alone[0].SameText(expected[i])) << "alone, request " << i;
    }
    int num_drafted = 0;
    for (const Answer& answer : together) num_drafted += answer.stats.draft_tokens;
    return num_drafted;
  }

  const std::string folder_ =
      ::testing::TempDir() + "hearth_speculation_" + std::to_string(::getpid()) + "/";
  const std::string base_ = folder_ + "base.gguf", draft_ = folder_ + "draft.gguf";
};

TEST_F(SpeculationTest, NgramGuessesDoNotChangeTheText) {
  EXPECT_GT(ExpectSame(Requests(), {.ngram_draft = true, .adaptive_draft = false}), 0);
}

TEST_F(SpeculationTest, AStrangerAsDraftDoesNotChangeTheText) {
  EXPECT_GT(ExpectSame(Requests(), {.draft_path = draft_, .adaptive_draft = false}), 0);
}

TEST_F(SpeculationTest, ATwinAsDraftDoesNotChangeTheText) {
  EXPECT_GT(
      ExpectSame(Requests(), {.draft_path = base_, .adaptive_draft = false, .draft_head_rows = 0}),
      0);
}

TEST_F(SpeculationTest, BothProposersAndAdaptingDoNotChangeTheText) {
  EXPECT_GT(ExpectSame(Requests(), {.ngram_draft = true, .draft_path = draft_}), 0);
}

TEST_F(SpeculationTest, NorDoesItWithInt8Keys) {
  EXPECT_GT(ExpectSame(Requests(),
                       {.kv_type = KvType::kInt8, .draft_path = base_, .adaptive_draft = false}),
            0);
}

TEST_F(SpeculationTest, NorDoesItWithInt4Keys) {
  // Layers between the first and the last, which stay int8. Answers of 60 tokens and more: guesses
  // that fail stand on both sides of a block's end.
  ASSERT_TRUE(WriteTinyModel(base_, {.num_layers = 4}));
  for (const std::string& draft : {base_, draft_}) {
    EXPECT_GT(ExpectSame(Requests(), {.kv_type = KvType::kInt4,
                                      .check_kv_type = false,
                                      .draft_path = draft,
                                      .adaptive_draft = false}),
              0);
  }
}

TEST_F(SpeculationTest, NorDoesATrimmedHead) {
  EXPECT_GT(ExpectSame(Requests(),
                       {.draft_path = base_, .adaptive_draft = false, .draft_head_rows = 100}),
            0);
}

TEST_F(SpeculationTest, NorDoesAHeadThatReadsHiddenStates) {
  ASSERT_TRUE(WriteTinyModel(draft_, {.num_layers = 1, .seed = 3, .tap_layers = {0, 2}}));
  EXPECT_GT(ExpectSame(Requests(), {.draft_path = draft_, .adaptive_draft = false}), 0);
  EXPECT_GT(ExpectSame(Requests(), {.ngram_draft = true, .draft_path = draft_}), 0);
}

TEST_F(SpeculationTest, NorDoesADraftWithAPartOfTheTokens) {
  ASSERT_TRUE(WriteTinyModel(draft_, {.num_layers = 1, .seed = 4, .head_ids = {250, 97, 3, 100}}));
  EXPECT_GT(ExpectSame(Requests(), {.draft_path = draft_, .adaptive_draft = false}), 0);
}

// A head that lost track of its states would guess something else, and be right another number of
// times.
TEST_F(SpeculationTest, AHeadGuessesTheSameHoweverThePromptWasCut) {
  ASSERT_TRUE(WriteTinyModel(
      draft_,
      {.num_layers = 1, .seed = 3, .tap_layers = {1, 2, 0}, .head_ids = {'a', 'k', 's', 'z'}}));
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 4; ++i) {
    GenerateRequest request;
    for (int t = 0; t < 30 + 50 * i; ++t) request.prompt.push_back('a' + (t * (i + 3)) % 11);
    request.max_tokens = 60;
    request.ignore_end_of_turn = true;
    request.sampling.seed = static_cast<uint64_t>(i);
    for (const TokenId token : {'a', 'k', 's', 'z'}) request.sampling.logit_bias[token] = 200;
    requests.push_back(std::move(request));
  }
  std::vector<std::pair<int, int>> expected;
  for (const int batch : {512, 24, 9}) {
    EngineOptions options{.draft_path = draft_, .adaptive_draft = false};
    options.max_batch_tokens = batch;
    options.max_sequences = 1;
    std::vector<std::pair<int, int>> counts;
    for (const Answer& answer : Run(*Load(options), requests))
      counts.emplace_back(answer.stats.draft_tokens, answer.stats.accepted_tokens);
    if (expected.empty()) expected = counts;
    EXPECT_EQ(counts, expected) << batch;
  }
  for (const auto& [drafted, accepted] : expected) EXPECT_GT(accepted, 5) << "of " << drafted;
}

TEST_F(SpeculationTest, AHeadForAnotherModelIsRefused) {
  EngineOptions options{.draft_path = draft_};
  options.use_disk_cache = false;
  const auto refusal = [&](const TinyModelOptions& head) {
    EXPECT_TRUE(WriteTinyModel(draft_, head));
    const auto engine = Engine::Load(base_, options);
    EXPECT_FALSE(engine);
    return engine ? std::string() : engine.error().message;
  };
  EXPECT_THAT(refusal({.num_layers = 1, .tap_layers = {7}}), HasSubstr("names layer 7"));
  EXPECT_THAT(refusal({.num_layers = 1, .hidden_size = 96, .tap_layers = {0}}),
              HasSubstr("token_embd.weight"));
  EXPECT_THAT(refusal({.num_layers = 1, .tap_layers = {0}, .head_ids = {5, 900}}),
              HasSubstr("names token 900"));
}

TEST_F(SpeculationTest, NorDoesItWhenBlocksRunOut) {
  // Room for one context of 256 tokens: ten requests preempt each other.
  EngineOptions options{.draft_path = base_, .adaptive_draft = false};
  options.context_length = 256;
  options.kv_budget_bytes = 1;
  const auto refused = Engine::Load(base_, [&] {
    EngineOptions tiny = options;
    tiny.use_disk_cache = false;
    return tiny;
  }());
  ASSERT_FALSE(refused);
  // The message says how much one context needs.
  const std::string& message = refused.error().message;
  options.kv_budget_bytes = std::stoll(message.substr(message.find("needs ") + 6));
  EXPECT_GT(ExpectSame(Requests(), options), 0);
}

// "a context of N tokens needs BYTES"
int64_t BytesNeeded(const std::string& path, EngineOptions options) {
  options.use_disk_cache = false;
  options.kv_budget_bytes = 1;
  const auto refused = Engine::Load(path, options);
  EXPECT_FALSE(refused);
  if (refused) return 0;
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  const std::string& message = refused.error().message;
  EXPECT_EQ(message.find("for the draft") == std::string::npos, options.draft_path.empty());
  return std::stoll(message.substr(message.find("needs ") + 6));
}

TEST_F(SpeculationTest, ADraftsKvIsPartOfTheBudget) {
  const int64_t plain = BytesNeeded(base_, {});
  // three layers and a twin of three layers; a stranger of one
  EXPECT_EQ(BytesNeeded(base_, {.draft_path = base_}), 2 * plain);
  EXPECT_EQ(BytesNeeded(base_, {.draft_path = draft_}), plain / 3 * 4);
  // A budget that holds the model's context alone is refused with a draft, and is kept without.
  EngineOptions options{.draft_path = base_};
  options.use_disk_cache = false;
  options.kv_budget_bytes = plain;
  EXPECT_FALSE(Engine::Load(base_, options));
  options.draft_path.clear();
  EXPECT_TRUE(Engine::Load(base_, options));
  ASSERT_TRUE(WriteTinyModel(draft_, {.num_layers = 1, .seed = 3, .tap_layers = {0, 2}}));
  EXPECT_EQ(BytesNeeded(base_, {.draft_path = draft_}), plain / 3 * 4) << "a head";
}

TEST_F(SpeculationTest, ATwinIsRightEveryTimeAndSavesPasses) {
  for (const float temperature : {0.0f, 0.8f}) {
    const auto engine = Load({.draft_path = base_, .adaptive_draft = false});
    GenerateRequest request;
    request.prompt = {'h', 'e', 'l', 'l', 'o'};
    request.max_tokens = 60;
    request.ignore_end_of_turn = true;
    request.sampling.temperature = temperature;
    request.sampling.seed = 3;
    const Answer answer = Run(*engine, {request})[0];
    EXPECT_EQ(answer.stats.completion_tokens, 60);
    EXPECT_EQ(answer.stats.accepted_tokens, answer.stats.draft_tokens);
    EXPECT_LE(engine->load().steps, 12) << "six tokens a pass";
  }
}

// Not implied by equal texts alone: over many seeds the drawn pairs have the model's distribution.
TEST_F(SpeculationTest, ManySeedsDrawFromTheModelsDistribution) {
  const std::vector<TokenId> choices = {'a', 'k', 's', 'z'}, prompt = {'h', 'e', 'y'};
  const auto engine = Load({.draft_path = draft_, .adaptive_draft = false});
  std::map<std::pair<TokenId, TokenId>, double> expected;
  double total = 0;
  for (const TokenId first : choices) {
    for (const TokenId second : choices) {
      const std::vector<TokenId> tokens = {'h', 'e', 'y', first, second};
      const auto scores = engine->Score(tokens, 3);
      ASSERT_TRUE(scores) << scores.error().message;
      expected[{first, second}] = std::exp((*scores)[0] + (*scores)[1]);
    }
  }
  // A bias that leaves four tokens makes each draw one from their part of the distribution.
  std::map<TokenId, double> of_first;
  for (const auto& [pair, p] : expected) of_first[pair.first] += p;
  for (const TokenId first : choices) {
    const std::vector<TokenId> tokens = {'h', 'e', 'y', first};
    const auto score = engine->Score(tokens, 3);
    ASSERT_TRUE(score);
    for (const TokenId second : choices)
      expected[{first, second}] *= std::exp((*score)[0]) / of_first[first];
    total += std::exp((*score)[0]);
  }
  constexpr int kDraws = 3000;
  std::vector<GenerateRequest> requests(kDraws);
  for (int i = 0; i < kDraws; ++i) {
    requests[i].prompt = prompt;
    requests[i].max_tokens = 3;
    requests[i].ignore_end_of_turn = true;
    requests[i].sampling.seed = static_cast<uint64_t>(i);
    for (const TokenId token : choices) requests[i].sampling.logit_bias[token] = 200;
  }
  std::map<std::pair<TokenId, TokenId>, int> counts;
  int num_accepted = 0;
  for (int begin = 0; begin < kDraws; begin += 100) {
    const std::vector<GenerateRequest> some(requests.begin() + begin,
                                            requests.begin() + begin + 100);
    for (const Answer& answer : Run(*engine, some)) {
      ASSERT_EQ(answer.tokens.size(), 3u);
      ++counts[{answer.tokens[0], answer.tokens[1]}];
      num_accepted += answer.stats.accepted_tokens;
    }
  }
  EXPECT_GT(num_accepted, 100) << "many of the second tokens were guessed";
  double chi_squared = 0;
  for (const auto& [pair, p] : expected) {
    const double wanted = p / total * kDraws, off = counts[pair] - wanted;
    chi_squared += off * off / wanted;
  }
  // 15 degrees of freedom: one in 10,000 true samples is beyond this. The seeds are fixed.
  EXPECT_LT(chi_squared, 44.3);
}

TEST_F(SpeculationTest, StopStringsEndTheAnswerWhereTheyDidBefore) {
  GenerateRequest request;
  request.prompt = {'h', 'e', 'l', 'l', 'o'};
  request.max_tokens = 80;
  request.ignore_end_of_turn = true;
  request.sampling.temperature = 0.9f;
  request.sampling.seed = 5;
  request.sampling.num_top_logprobs = 0;
  const std::string text = Run(*Load({}), {request})[0].text;
  ASSERT_GT(text.size(), 20u);
  int num_drafted = 0;
  for (const size_t at : {size_t{4}, size_t{9}, text.size() / 2}) {
    GenerateRequest stopping = request;
    stopping.stop = {text.substr(at, 3)};
    num_drafted += ExpectSame({stopping}, {.draft_path = base_, .adaptive_draft = false});
  }
  EXPECT_GT(num_drafted, 0);
}

TEST_F(SpeculationTest, AnAnswerEndsWhereItsContextDoes) {
  GenerateRequest request;
  request.prompt.assign(100, 'a');
  request.ignore_end_of_turn = true;
  request.sampling.temperature = 0;
  request.sampling.num_top_logprobs = 0;
  EngineOptions options{.draft_path = base_, .adaptive_draft = false};
  options.context_length = 128;
  EXPECT_GT(ExpectSame({request}, options), 0);
}

TEST_F(SpeculationTest, ADraftWithOtherTokensIsRefused) {
  EngineOptions options{.draft_path = folder_ + "other.gguf"};
  options.use_disk_cache = false;
  EXPECT_FALSE(Engine::Load(base_, options));
  ASSERT_TRUE(WriteTinyModel(options.draft_path, {.first_token = "other"}));
  const auto engine = Engine::Load(base_, options);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(engine.error().message, HasSubstr("token 0 is 'other' there"));
}

}  // namespace
}  // namespace hearth
