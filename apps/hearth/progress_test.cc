#include "apps/hearth/progress.h"

#include <cmath>

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(FormatProgress, ShowsLabelBarPercentageAndTimeLeft) {
  EXPECT_EQ(FormatProgress("Load", 0.5, 10, 80),
            "Load [###############...............]  50%  10s left");
  EXPECT_EQ(FormatProgress("Load", 1, 10, 80), "Load [##############################] 100%");
}

TEST(FormatProgress, EstimatesNothingFromTheFirstMoments) {
  EXPECT_EQ(FormatProgress("Load", 0.01, 10, 80).find("left"), std::string::npos);
  EXPECT_EQ(FormatProgress("Load", 0.5, 0.5, 80).find("left"), std::string::npos);
}

TEST(FormatProgress, StaysBelowTheTerminalsWidth) {
  for (int width = 2; width < 120; ++width) {
    EXPECT_LT(static_cast<int>(FormatProgress("A label of some length", 0.37, 100, width).size()),
              width);
  }
}

TEST(FormatProgress, ClampsWhatIsNoFraction) {
  EXPECT_NE(FormatProgress("x", -1, 1, 80).find("  0%"), std::string::npos);
  EXPECT_NE(FormatProgress("x", 7, 1, 80).find("100%"), std::string::npos);
  EXPECT_NE(FormatProgress("x", std::nan(""), 1, 80).find("  0%"), std::string::npos);
}

TEST(FormatProgress, SaysAHundredOnlyAtTheEnd) {
  EXPECT_NE(FormatProgress("x", 0.9999, 0, 80).find(" 99%"), std::string::npos);
}

TEST(FormatDuration, UsesTheTwoLargestUnits) {
  EXPECT_EQ(FormatDuration(0.4), "0s");
  EXPECT_EQ(FormatDuration(59.4), "59s");
  EXPECT_EQ(FormatDuration(59.6), "1m 00s");
  EXPECT_EQ(FormatDuration(5400), "1h 30m");
  EXPECT_EQ(FormatDuration(-3), "0s");
}

}  // namespace
}  // namespace hearth
