// The sampler against its definition, written out plainly: sort everything, add noise to what
// survives, take the maximum.

#include "runtime/sampling/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "runtime/sampling/noise.h"
#include "runtime/sampling/portable_math.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<Candidate> NaiveSurvivors(std::span<const float> logits,
                                      const SamplingOptions& options) {
  std::vector<Candidate> all;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -kInfinity) all.push_back({logits[i], static_cast<TokenId>(i), 0});
  }
  std::sort(all.begin(), all.end(), MoreLikely);
  if (options.top_k > 0 && static_cast<size_t>(options.top_k) < all.size()) {
    all.resize(static_cast<size_t>(options.top_k));
  }
  const float max = all.front().logit;
  if (options.top_p < 1) {
    int64_t total = 0;
    for (const Candidate& c : all) total += FixedWeight(c.logit, max, 1 / options.temperature);
    const double wanted = static_cast<double>(total) * static_cast<double>(options.top_p);
    int64_t sum = 0;
    size_t kept = 0;
    while (kept < all.size() && (kept == 0 || static_cast<double>(sum) < wanted)) {
      sum += FixedWeight(all[kept++].logit, max, 1 / options.temperature);
    }
    all.resize(kept);
  }
  if (options.min_p > 0) {
    const double threshold =
        static_cast<double>(max) +
        static_cast<double>(options.temperature) * PortableLog(static_cast<double>(options.min_p));
    std::erase_if(all, [&](const Candidate& c) { return c.logit < static_cast<float>(threshold); });
  }
  return all;
}

TokenId NaiveSample(std::span<const float> logits, const SamplingOptions& options,
                    int64_t position) {
  const NoiseStream noise(options.seed, static_cast<uint32_t>(options.choice),
                          static_cast<uint64_t>(position));
  double best_score = -std::numeric_limits<double>::infinity();
  TokenId best = -1;
  for (const Candidate& c : NaiveSurvivors(logits, options)) {
    const double score =
        static_cast<double>(c.logit) * (1.0 / static_cast<double>(options.temperature)) +
        NoiseStream::Gumbel(noise.Bits(static_cast<uint32_t>(c.id)));
    if (score > best_score || (score == best_score && c.id < best)) {
      best_score = score;
      best = c.id;
    }
  }
  return best;
}

std::vector<float> RandomLogits(size_t size, float spread, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = std::round(normal(random) * 16) / 16;
  return logits;
}

struct NamedOptions {
  const char* name;
  float temperature = 1;
  int top_k = 0;
  float top_p = 1;
  float min_p = 0;
};

class AgreesWithDefinition : public ::testing::TestWithParam<NamedOptions> {};

TEST_P(AgreesWithDefinition, OnVocabulariesOfAllSizesAndSpreads) {
  SamplingOptions options;
  options.temperature = GetParam().temperature;
  options.top_k = GetParam().top_k;
  options.top_p = GetParam().top_p;
  options.min_p = GetParam().min_p;
  options.seed = 12345;
  for (const size_t size : {1u, 2u, 65u, 1000u, 5003u}) {
    // Nearly flat, like a model, nearly certain.
    for (const float spread : {0.01f, 3.0f, 30.0f}) {
      Sampler sampler(options, static_cast<int>(size), {});
      for (int64_t position = 0; position < 60; ++position) {
        std::vector<float> logits =
            RandomLogits(size, spread, static_cast<unsigned>(position * 7 + 1));
        if (position % 3 == 0 && size > 2) logits[size / 2] = -kInfinity;
        ASSERT_EQ(sampler.Sample(logits, position).id, NaiveSample(logits, options, position))
            << "size " << size << " spread " << spread << " position " << position;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Options, AgreesWithDefinition,
    ::testing::Values(NamedOptions{"Plain"}, NamedOptions{"Cold", 0.1f}, NamedOptions{"Hot", 4.0f},
                      NamedOptions{"TopK1", 1, 1}, NamedOptions{"TopK40", 0.8f, 40},
                      NamedOptions{"TopP90", 1, 0, 0.9f}, NamedOptions{"TopPTiny", 1, 0, 1e-6f},
                      NamedOptions{"TopPNearlyAll", 1.5f, 0, 0.999f},
                      NamedOptions{"MinP", 1, 0, 1, 0.05f}, NamedOptions{"MinPOne", 1, 0, 1, 1.0f},
                      NamedOptions{"TopKTopP", 0.7f, 20, 0.8f},
                      NamedOptions{"Everything", 1.3f, 100, 0.95f, 0.02f}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Sampler, AgreesWithTheDefinitionOnAModelSizedVocabulary) {
  constexpr size_t kVocab = 151936;
  for (const float spread : {1.0f, 4.0f}) {
    SamplingOptions options;
    options.seed = 77;
    Sampler sampler(options, kVocab, {});
    for (int64_t position = 0; position < 12; ++position) {
      const std::vector<float> logits =
          RandomLogits(kVocab, spread, 1000u + static_cast<unsigned>(position));
      ASSERT_EQ(sampler.Sample(logits, position).id, NaiveSample(logits, options, position));
    }
  }
}

TEST(Sampler, TemperatureZeroTakesTheLargestWhateverTheSeed) {
  SamplingOptions options;
  options.temperature = 0;
  options.top_k = 3;
  const std::vector<float> logits = {0, 2, 5, 5, 1};
  for (options.seed = 0; options.seed < 20; ++options.seed) {
    Sampler sampler(options, 5, {});
    EXPECT_EQ(sampler.Sample(logits, 3).id, 2);
  }
}

TEST(Sampler, ATemperatureNearZeroIsGreedy) {
  SamplingOptions options;
  options.top_p = 0.5f;
  const std::vector<float> logits = {0, 2, 5.001f, 5, 1};
  for (const float temperature : {1e-45f, 1e-30f, 1e-6f}) {
    options.temperature = temperature;
    Sampler sampler(options, 5, {});
    EXPECT_EQ(sampler.Sample(logits, 0).id, 2) << temperature;
  }
}

TEST(Sampler, DependsOnSeedChoiceAndPositionAlone) {
  SamplingOptions options;
  options.seed = 5;
  const std::vector<float> logits(1000, 0.0f);
  Sampler first(options, 1000, {});
  Sampler second(options, 1000, {});
  const TokenId at_seven = first.Sample(logits, 7).id;
  second.Accept(3);
  second.Sample(logits, 1);
  EXPECT_EQ(second.Sample(logits, 7).id, at_seven);  // not on what was drawn before
  EXPECT_NE(second.Sample(logits, 8).id, at_seven);
  options.choice = 1;
  EXPECT_NE(Sampler(options, 1000, {}).Sample(logits, 7).id, at_seven);
  options.choice = 0;
  options.seed = 6;
  EXPECT_NE(Sampler(options, 1000, {}).Sample(logits, 7).id, at_seven);
}

TEST(Sampler, BiasAddsToTheLogitAndMinusInfinityForbids) {
  SamplingOptions options;
  options.temperature = 0;
  options.logit_bias = {{1, 3.5f}, {3, -kInfinity}};
  const std::vector<float> logits = {2, 0, 3, 9};
  EXPECT_EQ(Sampler(options, 4, {}).Sample(logits, 0).id, 1);
}

TEST(Sampler, RepetitionPenaltyLowersTokensOfPromptAndAnswerOnce) {
  SamplingOptions options;
  options.temperature = 0;
  options.repetition_penalty = 2;
  const std::vector<TokenId> prompt = {0, 0, 0, -4,
                                       99};  // ids outside the vocabulary are passed over
  Sampler sampler(options, 4, prompt);
  EXPECT_EQ(sampler.Sample(std::vector<float>{6, 2.9f, 2, 1}, 5).id, 0);  // 6 / 2 = 3, not 6 / 8
  EXPECT_EQ(sampler.Sample(std::vector<float>{6, 3.1f, 2, 1}, 5).id, 1);
  EXPECT_EQ(sampler.Sample(std::vector<float>{-1, -1.9f, -9, -9}, 5).id, 1);  // -1 * 2 = -2
  sampler.Accept(1);
  EXPECT_EQ(sampler.Sample(std::vector<float>{2, 4, 2.1f, 1}, 6).id, 2);
}

TEST(Sampler, PresenceCountsOnceAndFrequencyEachTimeOverTheAnswerAlone) {
  SamplingOptions options;
  options.temperature = 0;
  options.presence_penalty = 1;
  const std::vector<TokenId> prompt = {0};
  Sampler presence(options, 2, prompt);
  EXPECT_EQ(presence.Sample(std::vector<float>{1.5f, 1}, 1).id, 0);  // the prompt does not count
  presence.Accept(0);
  EXPECT_EQ(presence.Sample(std::vector<float>{1.9f, 1}, 2).id, 1);
  presence.Accept(0);
  EXPECT_EQ(presence.Sample(std::vector<float>{2.1f, 1}, 3).id, 0);

  options.presence_penalty = 0;
  options.frequency_penalty = 1;
  Sampler frequency(options, 2, prompt);
  frequency.Accept(0);
  frequency.Accept(0);
  EXPECT_EQ(frequency.Sample(std::vector<float>{2.9f, 1}, 3).id, 1);
  EXPECT_EQ(frequency.Sample(std::vector<float>{3.1f, 1}, 3).id, 0);
}

TEST(Sampler, LogprobsAreTheModelsOwnWhateverTheProcessors) {
  SamplingOptions options;
  options.temperature = 0.2f;
  options.top_k = 1;
  options.logit_bias = {{0, 50.0f}};
  options.num_top_logprobs = 2;
  const std::vector<float> logits = {std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  const SampledToken token = Sampler(options, 3, {}).Sample(logits, 0);
  EXPECT_EQ(token.id, 0);
  EXPECT_NEAR(token.logprob, std::log(0.2), 1e-6);
  ASSERT_EQ(token.top.size(), 2u);
  EXPECT_EQ(token.top[0].id, 1);
  EXPECT_EQ(token.top[1].id, 2);
}

TEST(Sampler, BrokenLogitsStillGiveATokenOfTheVocabulary) {
  for (const float temperature : {0.0f, 1.0f}) {
    for (const float top_p : {1.0f, 0.5f}) {
      SamplingOptions options;
      options.temperature = temperature;
      options.top_p = top_p;
      options.num_top_logprobs = 1;
      Sampler sampler(options, 100, {});
      EXPECT_EQ(sampler.Sample(std::vector<float>(100, kNan), 0).id, 0);
      EXPECT_EQ(sampler.Sample(std::vector<float>(100, -kInfinity), 0).id, 0);
      std::vector<float> logits(100, kNan);
      logits[70] = 1;
      EXPECT_EQ(sampler.Sample(logits, 0).id, 70);
      logits[80] = kInfinity;
      EXPECT_EQ(sampler.Sample(logits, 0).id, 80);
    }
  }
}

TEST(ValidateSamplingOptions, AcceptsDefaultsAndLimits) {
  SamplingOptions options;
  EXPECT_TRUE(ValidateSamplingOptions(options, 10));
  options.temperature = 0;
  options.top_p = 1e-6f;
  options.min_p = 1;
  options.top_k = 1 << 30;
  options.logit_bias = {{0, -100.0f}, {9, -kInfinity}};
  options.num_top_logprobs = 10;
  EXPECT_TRUE(ValidateSamplingOptions(options, 10));
}

struct BadOptions {
  const char* field;
  const char* value;
  void (*spoil)(SamplingOptions&);
};

class RefusesOptions : public ::testing::TestWithParam<BadOptions> {};

TEST_P(RefusesOptions, NamingFieldAndValue) {
  SamplingOptions options;
  GetParam().spoil(options);
  const Status status = ValidateSamplingOptions(options, 10);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(status.error().message, HasSubstr(GetParam().field));
  EXPECT_THAT(status.error().message, HasSubstr(GetParam().value));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, RefusesOptions,
    ::testing::Values(
        BadOptions{"temperature", "-0.5", [](SamplingOptions& o) { o.temperature = -0.5f; }},
        BadOptions{"temperature", "nan", [](SamplingOptions& o) { o.temperature = kNan; }},
        BadOptions{"temperature", "inf", [](SamplingOptions& o) { o.temperature = kInfinity; }},
        BadOptions{"top_k", "-1", [](SamplingOptions& o) { o.top_k = -1; }},
        BadOptions{"top_p", "0", [](SamplingOptions& o) { o.top_p = 0; }},
        BadOptions{"top_p", "1.5", [](SamplingOptions& o) { o.top_p = 1.5f; }},
        BadOptions{"top_p", "nan", [](SamplingOptions& o) { o.top_p = kNan; }},
        BadOptions{"min_p", "-0.1", [](SamplingOptions& o) { o.min_p = -0.1f; }},
        BadOptions{"min_p", "nan", [](SamplingOptions& o) { o.min_p = kNan; }},
        BadOptions{"repetition_penalty", "0", [](SamplingOptions& o) { o.repetition_penalty = 0; }},
        BadOptions{"presence_penalty", "nan",
                   [](SamplingOptions& o) { o.presence_penalty = kNan; }},
        BadOptions{"frequency_penalty", "2000",
                   [](SamplingOptions& o) { o.frequency_penalty = 2000; }},
        BadOptions{"logit_bias", "10", [](SamplingOptions& o) { o.logit_bias[10] = 1; }},
        BadOptions{"logit_bias", "-1", [](SamplingOptions& o) { o.logit_bias[-1] = 1; }},
        BadOptions{"token 3", "nan", [](SamplingOptions& o) { o.logit_bias[3] = kNan; }},
        BadOptions{"token 3", "inf", [](SamplingOptions& o) { o.logit_bias[3] = kInfinity; }},
        BadOptions{"choice", "-1", [](SamplingOptions& o) { o.choice = -1; }},
        BadOptions{"top_logprobs", "11", [](SamplingOptions& o) { o.num_top_logprobs = 11; }}));

}  // namespace
}  // namespace hearth
