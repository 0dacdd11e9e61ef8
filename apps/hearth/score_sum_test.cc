#include "apps/hearth/score_sum.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(ScoreSum, EvenOddsGiveTheirNumber) {
  ScoreSum sum;
  for (int i = 0; i < 100; ++i) sum.Add(std::log(0.25));
  EXPECT_NEAR(sum.Perplexity(), 4.0, 1e-12);
  EXPECT_NEAR(sum.StandardError(), 0.0, 1e-12);
  EXPECT_EQ(sum.count(), 100);
}

// mean 2, variance 2/3, error sqrt(2/3 / 2), times e^2.
TEST(ScoreSum, StandardErrorIsThatOfTheMeanTimesThePerplexity) {
  ScoreSum sum;
  for (const double nll : {1.0, 2.0, 3.0}) sum.Add(-nll);
  EXPECT_NEAR(sum.MeanNll(), 2.0, 1e-12);
  EXPECT_NEAR(sum.StandardError(), std::exp(2.0) * std::sqrt(1.0 / 3.0), 1e-12);
}

TEST(ScoreSum, OneTokenHasNoError) {
  ScoreSum sum;
  sum.Add(-1);
  EXPECT_EQ(sum.StandardError(), 0);
}

}  // namespace
}  // namespace hearth
