#include "eval/runs/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth::eval {
namespace {

using ::testing::HasSubstr;

StoredRun RunOf(const std::vector<double>& scores, const std::string& measure = "rate",
                const std::string& fingerprint = "f") {
  StoredRun run;
  run.settings = {{"model", "m"},
                  {"suite.s",
                   {{"fingerprint", fingerprint},
                    {"measure", measure},
                    {"higher_is_better", measure != "perplexity"}}}};
  for (size_t i = 0; i < scores.size(); ++i) {
    ItemResult item;
    item.suite = "s";
    item.id = std::to_string(i);
    item.score = scores[i];
    run.items.push_back(item);
  }
  return run;
}

TEST(CompareRuns, RatesByMcNemar) {
  // 10 right in both, 1 only in the first, 9 only in the second, 5 in neither.
  std::vector<double> a, b;
  const auto add = [&](int count, double first, double second) {
    for (int i = 0; i < count; ++i) {
      a.push_back(first);
      b.push_back(second);
    }
  };
  add(10, 1, 1);
  add(1, 1, 0);
  add(9, 0, 1);
  add(5, 0, 0);
  const auto result = CompareRuns(RunOf(a), RunOf(b));
  ASSERT_TRUE(result) << result.error().message;
  const SuiteComparison& comparison = (*result)[0];
  EXPECT_EQ(comparison.num_pairs, 25);
  EXPECT_EQ(comparison.both, 10);
  EXPECT_EQ(comparison.only_first, 1);
  EXPECT_EQ(comparison.only_second, 9);
  EXPECT_EQ(comparison.neither, 5);
  EXPECT_NEAR(*comparison.mcnemar_p, 0.021484375, 1e-12);
  EXPECT_NEAR(comparison.difference.difference, 8.0 / 25, 1e-12);
  EXPECT_THAT(Describe(comparison), HasSubstr("The second is better"));
  EXPECT_THAT(Describe(comparison), HasSubstr("p = 0.0215"));
  EXPECT_THAT(Describe((*CompareRuns(RunOf(b), RunOf(a)))[0]), HasSubstr("The second is worse"));
  EXPECT_THAT(Describe((*CompareRuns(RunOf(a), RunOf(a)))[0]), HasSubstr("Chance explains"));
  EXPECT_EQ(ToJson(comparison)["significant"], true);
}

TEST(CompareRuns, OnlyItemsOfBothCount) {
  const auto result = CompareRuns(RunOf({1, 1, 0, 0}), RunOf({1, 1}));
  ASSERT_TRUE(result);
  EXPECT_EQ((*result)[0].num_pairs, 2);
  EXPECT_EQ((*result)[0].num_unpaired, 2);
  EXPECT_EQ((*result)[0].first, 1);
}

TEST(CompareRuns, LowerPerplexityIsBetter) {
  std::vector<double> a, b;
  for (int i = 0; i < 40; ++i) {
    a.push_back(2 + 0.01 * i);
    b.push_back(1.9 + 0.01 * i + (i % 2) * 0.01);
  }
  const auto result = CompareRuns(RunOf(a, "perplexity"), RunOf(b, "perplexity"));
  ASSERT_TRUE(result);
  EXPECT_FALSE((*result)[0].mcnemar_p);
  EXPECT_LT((*result)[0].p_value(), 0.001);
  EXPECT_THAT(Describe((*result)[0]), HasSubstr("The second is better"));
}

TEST(CompareRuns, OtherDataOrPromptsDoNotCompare) {
  const auto result = CompareRuns(RunOf({1}), RunOf({1}, "rate", "g"));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("for s"));
  StoredRun none = RunOf({});
  none.settings = {{"model", "m"}};
  EXPECT_FALSE(CompareRuns(RunOf({1}), none));
}

TEST(MeasureNoise, OfThreeSeeds) {
  const auto result = MeasureNoise({RunOf({1, 0, 1, 1}), RunOf({1, 0, 0, 1}), RunOf({1, 0, 1, 0})});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ((*result)[0].num_items, 4);
  EXPECT_EQ((*result)[0].noise.flips, 0.5);
  EXPECT_THAT(Describe((*result)[0]), HasSubstr("75.0% 50.0% 50.0%"));
}

TEST(MeasureNoise, OfOneModelOnly) {
  StoredRun other = RunOf({1});
  other.settings["model"] = "n";
  EXPECT_FALSE(MeasureNoise({RunOf({1}), other}));
  EXPECT_FALSE(MeasureNoise({RunOf({1})}));
}

}  // namespace
}  // namespace hearth::eval
