#include "eval/scorers/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth::eval {
namespace {

double Grade(std::string_view reply) { return ParseGrade(reply).value_or(-1); }

TEST(Grade, InEveryUsualForm) {
  EXPECT_EQ(Grade("Good and short. [[8]]"), 8);
  EXPECT_EQ(Grade("[[7.5]]"), 7.5);
  EXPECT_EQ(Grade("Grades go from [[1]] to [[10]]. This is a [[6]]"), 6);
  EXPECT_EQ(Grade("[[ Rating: 9 ]]"), 9);
  EXPECT_EQ(Grade("Rating: 7"), 7);
  EXPECT_EQ(Grade("**Rating:** 4 because"), 4);
  EXPECT_EQ(Grade("I give it 8/10."), 8);
  EXPECT_EQ(Grade("That is a **9** out of 10"), 9);
  EXPECT_EQ(Grade("my score is 3"), 3);
  EXPECT_EQ(Grade("5"), 5);
}

TEST(Grade, WhatIsNoGradeOfOneToTen) {
  EXPECT_EQ(Grade("[[0]]"), -1);
  EXPECT_EQ(Grade("[[11]]"), -1);
  EXPECT_EQ(Grade("[[good]]"), -1);
  EXPECT_EQ(Grade("There are 5 points in it."), -1);
  EXPECT_EQ(Grade("Rating: excellent"), -1);
  EXPECT_EQ(Grade(""), -1);
}

TEST(Preference, InEveryUsualForm) {
  EXPECT_EQ(ParsePreference("A is longer, B is right. [[B]]"), Preference::kSecond);
  EXPECT_EQ(ParsePreference("[[A]]"), Preference::kFirst);
  EXPECT_EQ(ParsePreference("[[C]]"), Preference::kTie);
  EXPECT_EQ(ParsePreference("[[Tie]]"), Preference::kTie);
  EXPECT_EQ(ParsePreference("Verdict: A"), Preference::kFirst);
  EXPECT_EQ(ParsePreference("**Winner:** Answer B"), Preference::kSecond);
  EXPECT_EQ(ParsePreference("Answer A is better than the other."), Preference::kFirst);
  EXPECT_EQ(ParsePreference("At first answer A is better, but answer B is better in the end."),
            Preference::kSecond);
  EXPECT_EQ(ParsePreference("B"), Preference::kSecond);
}

TEST(Preference, WhatIsNoVerdict) {
  EXPECT_FALSE(ParsePreference("Both have merits."));
  EXPECT_FALSE(ParsePreference("[[D]]"));
  EXPECT_FALSE(ParsePreference(""));
}

TEST(Preference, OnlyWhatSurvivesTheSwapCounts) {
  // The first answer is A, then B.
  EXPECT_EQ(PairScore(Preference::kFirst, Preference::kSecond), 1);
  EXPECT_EQ(PairScore(Preference::kSecond, Preference::kFirst), 0);
  EXPECT_EQ(PairScore(Preference::kFirst, Preference::kFirst), 0.5)
      << "the side won, not the answer";
  EXPECT_EQ(PairScore(Preference::kTie, Preference::kFirst), 0.5);
}

TEST(JudgePrompts, HoldQuestionAndAnswers) {
  EXPECT_THAT(GradePrompt("Why?", "Because."), ::testing::HasSubstr("Because."));
  const std::string pair = PairPrompt("Why?", "ONE", "TWO");
  EXPECT_LT(pair.find("ONE"), pair.find("TWO"));
}

}  // namespace
}  // namespace hearth::eval
