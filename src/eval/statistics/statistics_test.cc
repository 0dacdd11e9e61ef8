#include "eval/statistics/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hearth::eval {
namespace {

// What statsmodels 0.15 gives: stats.proportion.proportion_confint(k, n, method="wilson").
TEST(Wilson, AgreesWithPublishedFigures) {
  const Interval half = WilsonInterval(5, 10);
  EXPECT_NEAR(half.low, 0.23659309051256394, 1e-12);
  EXPECT_NEAR(half.high, 0.7634069094874361, 1e-12);
  const Interval humaneval = WilsonInterval(116, 164);
  EXPECT_NEAR(humaneval.low, 0.63357457650857, 1e-12);
  EXPECT_NEAR(humaneval.high, 0.7715696618565454, 1e-12);
}

TEST(Wilson, StaysWithinZeroAndOneAtTheEnds) {
  const Interval none = WilsonInterval(0, 20), all = WilsonInterval(20, 20);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.161125, 1e-6);
  EXPECT_NEAR(all.low, 1 - 0.161125, 1e-6);
  EXPECT_EQ(all.high, 1);
  EXPECT_EQ(WilsonInterval(0, 0).high, 1);
}

// statsmodels.stats.contingency_tables.mcnemar([[..., b], [c, ...]], exact=True).pvalue, which is
// scipy.stats.binomtest(b, b + c).pvalue.
TEST(McNemar, IsTheExactBinomialTest) {
  EXPECT_NEAR(McNemarExact(1, 9), 0.021484375, 1e-12);
  EXPECT_NEAR(McNemarExact(9, 1), 0.021484375, 1e-12);
  EXPECT_NEAR(McNemarExact(0, 5), 0.0625, 1e-12);
  EXPECT_NEAR(McNemarExact(5, 15), 0.04138946533203125, 1e-12);
  EXPECT_EQ(McNemarExact(7, 7), 1);
  EXPECT_EQ(McNemarExact(0, 0), 1);
}

TEST(McNemar, HoldsForThousandsOfItems) {
  EXPECT_NEAR(McNemarExact(5000, 5000), 1, 1e-9);
  EXPECT_NEAR(McNemarExact(4000, 5000) / 5.581401567014391e-26, 1, 1e-6);
}

TEST(Bootstrap, CoversTheMeanByTwoStandardErrors) {
  std::vector<double> values;
  for (int i = 0; i < 400; ++i) values.push_back(i % 2 == 0 ? 1 : 3);
  EXPECT_EQ(Mean(values), 2);
  EXPECT_NEAR(StandardError(values), 1 / std::sqrt(399.0), 1e-12);
  const Interval interval = BootstrapMean(values);
  EXPECT_NEAR(interval.low, 2 - 1.96 * 0.05, 0.01);
  EXPECT_NEAR(interval.high, 2 + 1.96 * 0.05, 0.01);
}

// scipy.stats.bootstrap(([1, 2, 4, 8, 16, 32],), np.mean, method="percentile", n_resamples=200000).
TEST(Bootstrap, AgreesWithScipy) {
  const std::vector<double> values = {1, 2, 4, 8, 16, 32};
  const Interval interval = BootstrapMean(values, {.num_resamples = 100'000, .seed = 3});
  EXPECT_NEAR(interval.low, 3.0, 0.2);
  EXPECT_NEAR(interval.high, 20.0, 0.4);
}

TEST(Bootstrap, IsTheSameEveryTimeAndAnotherWithAnotherSeed) {
  const std::vector<double> values = {1, 2, 4, 8, 16, 32};
  const Interval one = BootstrapMean(values), two = BootstrapMean(values);
  EXPECT_EQ(one.low, two.low);
  EXPECT_EQ(one.high, two.high);
  const Interval other = BootstrapMean(values, {.num_resamples = 50, .seed = 9});
  EXPECT_TRUE(other.low != one.low || other.high != one.high);
}

TEST(Bootstrap, OfOneValueOrNone) {
  EXPECT_EQ(BootstrapMean(std::vector<double>{3}).low, 3);
  EXPECT_EQ(BootstrapMean({}).high, 0);
  EXPECT_EQ(StandardError(std::vector<double>{3}), 0);
}

TEST(Paired, FindsASmallDifferenceThatEveryPairShows) {
  std::vector<double> a, b;
  for (int i = 0; i < 50; ++i) {
    a.push_back(i * 10.0);
    b.push_back(i * 10.0 + 1 + (i % 3) * 0.1);
  }
  const PairedDifference result = ComparePaired(a, b);
  EXPECT_NEAR(result.difference, 1.098, 1e-9);
  EXPECT_GT(result.interval.low, 1.0);
  EXPECT_LT(result.p_value, 0.001);
}

TEST(Paired, DifferencesThatCancelAreChance) {
  std::vector<double> a(40, 0), b;
  for (int i = 0; i < 40; ++i) b.push_back(i % 2 == 0 ? 1 : -1);
  const PairedDifference result = ComparePaired(a, b);
  EXPECT_EQ(result.difference, 0);
  EXPECT_EQ(result.p_value, 1);
  EXPECT_LT(result.interval.low, 0);
  EXPECT_GT(result.interval.high, 0);
}

// All 2^3 flips: 2 of 8 are as extreme, so p is 0.25 (scipy.stats.permutation_test agrees).
TEST(Paired, PermutationTestIsRightOnACaseByHand) {
  const PairedDifference result =
      ComparePaired(std::vector<double>{0, 0, 0}, std::vector<double>{1, 2, 3});
  EXPECT_NEAR(result.p_value, 0.25, 0.02);
}

TEST(Noise, OfResamplingIsThatOfTwoMeans) {
  std::vector<double> values;
  for (int i = 0; i < 100; ++i) values.push_back(i < 50 ? 0 : 1);
  // 1.96 * sqrt(2) * sqrt(0.25 / 100)
  EXPECT_NEAR(ResamplingNoise(values), 0.1386, 0.015);
  EXPECT_EQ(ResamplingNoise(std::vector<double>(30, 1.0)), 0);
}

TEST(Noise, OfRepeatedRuns) {
  const RepeatNoise noise = NoiseOfRepeats({{1, 0, 1, 1}, {1, 0, 0, 1}, {1, 0, 1, 0}});
  EXPECT_EQ(noise.means, (std::vector<double>{0.75, 0.5, 0.5}));
  EXPECT_NEAR(noise.standard_deviation, 0.1443376, 1e-6);
  EXPECT_NEAR(noise.floor, 1.959964 * std::sqrt(2.0) * 0.1443376, 1e-5);
  EXPECT_EQ(noise.flips, 0.5);
  EXPECT_EQ(NoiseOfRepeats({{1, 0}, {1, 0}}).floor, 0);
}

}  // namespace
}  // namespace hearth::eval
