#include "training/trainer/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "training/trainer/watchdog.h"

namespace hearth::forge {
namespace {

using ::testing::HasSubstr;

ScheduleOptions Options(ScheduleKind kind) {
  ScheduleOptions options;
  options.kind = kind;
  options.learning_rate = 1;
  options.final_share = 0.1;
  options.warmup_steps = 10;
  options.decay_share = 0.25;
  return options;
}

TEST(Schedule, CosineRisesThenFallsAlongHalfACosine) {
  const ScheduleOptions options = Options(ScheduleKind::kCosine);
  EXPECT_DOUBLE_EQ(LearningRateAt(options, 1, 110), 0.1);
  EXPECT_DOUBLE_EQ(LearningRateAt(options, 10, 110), 1);
  EXPECT_NEAR(LearningRateAt(options, 35, 110), 0.1 + 0.9 * 0.5 * (1 + std::sqrt(0.5)), 1e-12);
  EXPECT_NEAR(LearningRateAt(options, 60, 110), 0.55, 1e-12);
  EXPECT_NEAR(LearningRateAt(options, 110, 110), 0.1, 1e-12);
  EXPECT_NEAR(LearningRateAt(options, 500, 110), 0.1, 1e-12);
}

TEST(Schedule, WsdIsFlatUntilItsEnd) {
  const ScheduleOptions options = Options(ScheduleKind::kWsd);
  EXPECT_DOUBLE_EQ(LearningRateAt(options, 5, 100), 0.5);
  EXPECT_DOUBLE_EQ(LearningRateAt(options, 75, 100), 1);
  EXPECT_NEAR(LearningRateAt(options, 85, 100), 1 - 0.9 * 10 / 25, 1e-12);
  EXPECT_NEAR(LearningRateAt(options, 100, 100), 0.1, 1e-12);
}

TEST(Schedule, AWarmupLongerThanTheRunNeverDividesByZero) {
  for (const ScheduleKind kind :
       {ScheduleKind::kConstant, ScheduleKind::kCosine, ScheduleKind::kWsd}) {
    ScheduleOptions options = Options(kind);
    EXPECT_DOUBLE_EQ(LearningRateAt(options, 3, 4), 0.75);
    options.warmup_steps = 0;
    options.warmup_share = 0;
    options.decay_share = 0;
    EXPECT_TRUE(std::isfinite(LearningRateAt(options, 1, 1)));
  }
}

TEST(Schedule, NamesAreReadAndWrongOnesNamed) {
  for (const char* name : {"constant", "cosine", "wsd"})
    EXPECT_EQ(ScheduleName(ParseSchedule(name).value()), name);
  EXPECT_THAT(ParseSchedule("linear").error().message, HasSubstr("'linear'"));
  ScheduleOptions options;
  options.final_share = 1.5;
  EXPECT_THAT(CheckSchedule(options).error().message, HasSubstr("final_share is 1.5"));
}

TEST(Watchdog, WhatIsNoNumberIsSkippedAndTooOftenIsTheEnd) {
  WatchdogOptions options;
  options.patience = 3;
  Watchdog dog(options);
  EXPECT_EQ(dog.Judge(2, 1), Watchdog::Verdict::kGood);
  EXPECT_EQ(dog.Judge(NAN, 1), Watchdog::Verdict::kSkip);
  EXPECT_THAT(dog.reason(), HasSubstr("nan"));
  EXPECT_EQ(dog.Judge(2, INFINITY), Watchdog::Verdict::kSkip);
  EXPECT_EQ(dog.Judge(2, 1), Watchdog::Verdict::kGood);
  EXPECT_EQ(dog.Judge(NAN, 1), Watchdog::Verdict::kSkip);
  EXPECT_EQ(dog.Judge(NAN, 1), Watchdog::Verdict::kSkip);
  EXPECT_EQ(dog.Judge(NAN, 1), Watchdog::Verdict::kStop);
  EXPECT_EQ(dog.skipped(), 5);
}

TEST(Watchdog, ASpikeIsToldFromALossThatFallsAndStateMovesToAnother) {
  WatchdogOptions options;
  options.settle_steps = 20;
  Watchdog dog(options);
  for (int step = 0; step < 30; ++step)
    EXPECT_EQ(dog.Judge(10.0 / (1 + step), 1), Watchdog::Verdict::kGood);
  Watchdog other(options);
  other.set_state(dog.state());
  for (Watchdog* each : {&dog, &other}) {
    EXPECT_EQ(each->Judge(30, 1), Watchdog::Verdict::kSkip);
    EXPECT_THAT(each->reason(), HasSubstr("jumped to 30"));
    EXPECT_EQ(each->Judge(0.5, 1), Watchdog::Verdict::kGood);
  }
  EXPECT_EQ(dog.state(), other.state());
}

}  // namespace
}  // namespace hearth::forge
