#include "eval/runs/summary.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hearth::eval {
namespace {

ItemResult Item(std::optional<double> score, const std::string& outcome,
                const std::string& category = "") {
  ItemResult item;
  item.score = score;
  item.outcome = outcome;
  item.category = category;
  item.completion_tokens = 10;
  return item;
}

TEST(Summary, OfARateHasWilsonsInterval) {
  std::vector<ItemResult> items;
  for (int i = 0; i < 10; ++i)
    items.push_back(Item(i < 5 ? 1 : 0, i < 5 ? "right" : "timeout", i % 2 == 0 ? "a" : "b"));
  items.push_back(Item(std::nullopt, "no_verdict"));
  const SuiteSummary summary = Summarise({}, items);
  EXPECT_EQ(summary.num_items, 11);
  EXPECT_EQ(summary.num_judged, 10);
  EXPECT_EQ(summary.score.value, 0.5);
  EXPECT_NEAR(summary.score.interval.low, 0.236593, 1e-6);
  EXPECT_EQ(summary.outcomes.at("timeout"), 5);
  EXPECT_EQ(summary.outcomes.at("no_verdict"), 1);
  EXPECT_EQ(summary.categories.at("a").num_items, 5);
  EXPECT_EQ(summary.categories.at("a").value, 0.6);
  EXPECT_EQ(summary.completion_tokens, 110);
  EXPECT_GT(summary.noise_floor, 0.3);
  EXPECT_EQ(FormatFigure(Measure::kRate, summary.score), "50.0% (23.7% to 76.3%)");
}

TEST(Summary, OfAPerplexityIsTheExponential) {
  SuiteInfo info;
  info.measure = Measure::kPerplexity;
  const SuiteSummary summary =
      Summarise(info, {Item(std::log(4.0), "measured"), Item(std::log(16.0), "measured")});
  EXPECT_NEAR(summary.score.value, 8, 1e-9);
  EXPECT_NEAR(summary.score.interval.low, 4, 1e-9);
  EXPECT_NEAR(summary.score.interval.high, 16, 1e-9);
}

TEST(Summary, OfNothingIsNoFigure) {
  const SuiteSummary summary = Summarise({}, {});
  EXPECT_EQ(summary.num_judged, 0);
  EXPECT_EQ(summary.score.interval.high, 1);
}

TEST(Summary, AsJson) {
  SuiteInfo info;
  info.name = "s";
  const Json json = ToJson(Summarise(info, {Item(1, "right", "a")}));
  EXPECT_EQ(json["suite"], "s");
  EXPECT_EQ(json["measure"], "rate");
  EXPECT_EQ(json["score"], 1);
  EXPECT_EQ(json["outcomes"]["right"], 1);
  EXPECT_EQ(json["categories"]["a"]["items"], 1);
}

}  // namespace
}  // namespace hearth::eval
