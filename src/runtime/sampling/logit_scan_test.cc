#include "runtime/sampling/logit_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "runtime/sampling/logprobs.h"

namespace hearth {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();

// Rounded to quarters, so that equal logits are common.
std::vector<float> RandomLogits(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 4);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = std::round(normal(random) * 4) / 4;
  return logits;
}

std::vector<Candidate> Sorted(std::span<const float> logits) {
  std::vector<Candidate> all;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > kNegativeInfinity) all.push_back({logits[i], static_cast<TokenId>(i), 0});
  }
  std::sort(all.begin(), all.end(), MoreLikely);
  return all;
}

std::vector<TokenId> Ids(const std::vector<Candidate>& candidates) {
  std::vector<TokenId> ids;
  for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
  return ids;
}

TEST(Argmax, FindsTheFirstOfTheLargestAtEverySizeAndPlace) {
  for (const size_t size : {1u, 2u, 63u, 64u, 65u, 128u, 1000u}) {
    for (size_t place = 0; place < size; ++place) {
      std::vector<float> logits(size, -1.0f);
      logits[place] = 2.0f;
      logits[size - 1] = 2.0f;
      ASSERT_EQ(Argmax(logits), static_cast<TokenId>(place));
      LogitMaxima maxima;
      ScanMaxima(logits, maxima);
      ASSERT_EQ(maxima.argmax, static_cast<TokenId>(place));
      ASSERT_EQ(maxima.max, 2.0f);
    }
  }
}

TEST(Argmax, NeverChoosesNan) {
  std::vector<float> logits(130, kNan);
  EXPECT_EQ(Argmax(logits), 0);
  for (const size_t place : {0u, 1u, 63u, 64u, 129u}) {
    std::vector<float> one = logits;
    one[place] = -5.0f;
    EXPECT_EQ(Argmax(one), static_cast<TokenId>(place));
  }
}

TEST(Argmax, NothingPossibleGivesTheFirstToken) {
  EXPECT_EQ(Argmax(std::vector<float>(100, kNegativeInfinity)), 0);
}

TEST(CollectTopK, EqualsTheFirstOfASortTiesByIdIncluded) {
  std::vector<Candidate> candidates;
  std::vector<float> scratch;
  LogitMaxima maxima;
  for (const size_t size : {1u, 50u, 64u, 300u, 5000u}) {
    const std::vector<float> logits = RandomLogits(size, static_cast<unsigned>(size));
    const std::vector<Candidate> sorted = Sorted(logits);
    ScanMaxima(logits, maxima);
    for (const int k : {0, 1, 2, 5, 40, 64, 200, 6000}) {
      CollectTopK(logits, maxima, k, scratch, candidates);
      std::sort(candidates.begin(), candidates.end(), MoreLikely);
      std::vector<Candidate> expected = sorted;
      expected.resize(std::min(sorted.size(), static_cast<size_t>(k)));
      ASSERT_EQ(Ids(candidates), Ids(expected)) << size << " " << k;
    }
  }
}

TEST(CollectTopK, LeavesOutWhatIsImpossible) {
  const std::vector<float> logits = {kNegativeInfinity, 1.0f, kNan, 0.0f, kNegativeInfinity};
  std::vector<Candidate> candidates;
  std::vector<float> scratch;
  LogitMaxima maxima;
  ScanMaxima(logits, maxima);
  CollectTopK(logits, maxima, 4, scratch, candidates);
  std::sort(candidates.begin(), candidates.end(), MoreLikely);
  EXPECT_EQ(Ids(candidates), (std::vector<TokenId>{1, 3}));
}

TEST(FixedWeight, TotalIsTheSumOverAllTokens) {
  const std::vector<float> logits = RandomLogits(1000, 3);
  LogitMaxima maxima;
  ScanMaxima(logits, maxima);
  for (const float inverse_temperature : {0.1f, 1.0f, 5.0f}) {
    int64_t sum = 0;
    double exact = 0;
    for (const float logit : logits) {
      sum += FixedWeight(logit, maxima.max, inverse_temperature);
      exact += std::exp(static_cast<double>((logit - maxima.max) * inverse_temperature));
    }
    EXPECT_EQ(TotalFixedWeight(logits, maxima, inverse_temperature), sum);
    EXPECT_NEAR(static_cast<double>(sum) * 0x1p-29 / exact, 1.0, 2e-6);
  }
}

TEST(LogSumExp, AgreesWithDoublePrecision) {
  for (const size_t size : {1u, 64u, 100u, 49152u}) {
    const std::vector<float> logits = RandomLogits(size, 11);
    const float max = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit - max));
    EXPECT_NEAR(LogSumExp(logits, max), static_cast<double>(max) + std::log(sum), 1e-6);
  }
}

TEST(LogprobReader, GivesTheChosenAndTheMostLikelyTokens) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.1f),
                                     std::log(0.4f)};
  LogprobReader reader;
  SampledToken token;
  token.id = 2;
  reader.Fill(logits, 3, token);
  EXPECT_NEAR(token.logprob, std::log(0.1), 1e-6);
  ASSERT_EQ(token.top.size(), 3u);
  EXPECT_EQ(token.top[0].id, 1);
  EXPECT_EQ(token.top[1].id, 3);
  EXPECT_EQ(token.top[2].id, 0);
  EXPECT_NEAR(token.top[0].logprob, std::log(0.4), 1e-6);
}

TEST(LogprobReader, CertaintyIsZeroAndTheImpossibleMinusInfinity) {
  const std::vector<float> logits = {kNegativeInfinity, 50.0f, -200.0f, kNan};
  LogprobReader reader;
  SampledToken token;
  token.id = 1;
  reader.Fill(logits, 0, token);
  EXPECT_EQ(token.logprob, 0.0f);
  EXPECT_TRUE(token.top.empty());
  for (const TokenId impossible : {0, 3}) {
    token.id = impossible;
    reader.Fill(logits, 0, token);
    EXPECT_EQ(token.logprob, kNegativeInfinity);
  }
}

}  // namespace
}  // namespace hearth
