#include "eval/scorers/final_answer.h"

#include <gtest/gtest.h>

namespace hearth::eval {
namespace {

std::string Number(std::string_view answer) { return FindNumber(answer).value_or("none"); }

TEST(FindNumber, BehindAMark) {
  EXPECT_EQ(Number("16 - 7 = 9, 9 * 2 = 18. The answer is 18."), "18");
  EXPECT_EQ(Number("The answer is $1,234.50 per week"), "1234.5");
  EXPECT_EQ(Number("the ANSWER IS **42**"), "42");
  EXPECT_EQ(Number("9 eggs\n#### 18"), "18");
  EXPECT_EQ(Number("so \\boxed{3.50} of 100"), "3.5");
  EXPECT_EQ(Number("Answer: -5 degrees, below 10"), "-5");
  EXPECT_EQ(Number("**Answer:**\n\n72 clips\n\nCheck: 48 + 24"), "72");
  EXPECT_EQ(Number("The answer is 3 * 4 = 12."), "12");
  EXPECT_EQ(Number("The answer is 10. Wait, that is wrong. The answer is 20."), "20");
}

TEST(FindNumber, WithoutAMarkTheLastOneCounts) {
  EXPECT_EQ(Number("She has 3 apples and gets 4, so 7 apples."), "7");
  EXPECT_EQ(Number("It costs $0.50"), "0.5");
  EXPECT_EQ(Number("1, 2"), "2");
  EXPECT_EQ(Number("70,000"), "70000");
  EXPECT_EQ(Number("007"), "7");
  EXPECT_EQ(Number("about .5"), "0.5");
}

TEST(FindNumber, NothingWithoutANumber) {
  EXPECT_EQ(Number("I do not know."), "none");
  EXPECT_EQ(Number("x2 and b3"), "none");
  EXPECT_EQ(Number(""), "none");
}

TEST(FindNumber, GoldOfAWorkedSolution) {
  EXPECT_EQ(GoldNumber("9 * 2 = 18\n#### 18"), "18");
  EXPECT_EQ(GoldNumber("#### 1,200"), "1200");
  EXPECT_EQ(GoldNumber("#### -3"), "-3");
  EXPECT_FALSE(GoldNumber("no mark 18"));
}

constexpr const char* kDates =
    "What is the date tomorrow?\nOptions:\n(A) 12/11/1937\n(B) 12/25/1937\n(C) 01/04/1938";

std::string Option(std::string_view answer, std::string_view question = kDates) {
  return FindChoice(answer, ChoiceKind::kOption, question).value_or("none");
}

TEST(FindChoice, Options) {
  EXPECT_EQ(Option("The answer is (B)."), "(B)");
  EXPECT_EQ(Option("(A) is wrong. The answer is **B**."), "(B)");
  EXPECT_EQ(Option("The answer is option C"), "(C)");
  EXPECT_EQ(Option("The answer is 12/25/1937."), "(B)");
  EXPECT_EQ(Option("B"), "(B)");
  EXPECT_EQ(Option("(B) 12/25/1937"), "(B)");
  EXPECT_EQ(Option("It is (A). No, (C)."), "(C)");
  EXPECT_EQ(Option("Answer:\n(C) 01/04/1938"), "(C)");
}

TEST(FindChoice, ProseIsNoOption) {
  EXPECT_EQ(Option("I am not sure."), "none");
  EXPECT_EQ(Option("The answer is A day later"), "none");
  EXPECT_EQ(Option(""), "none");
}

TEST(FindChoice, TheLongestOptionTextWins) {
  const char* question = "Options:\n(A) red\n(B) red car\n(C) blue";
  EXPECT_EQ(Option("The answer is the red car.", question), "(B)");
  EXPECT_EQ(Option("The answer is redder.", question), "none");
}

TEST(FindChoice, WordsAndNumbers) {
  const auto choice = [](std::string_view answer, ChoiceKind kind) {
    return FindChoice(answer, kind, "").value_or("none");
  };
  EXPECT_EQ(choice("not True is False. The answer is False.", ChoiceKind::kBoolean), "False");
  EXPECT_EQ(choice("True or False, so it is true", ChoiceKind::kBoolean), "True");
  EXPECT_EQ(choice("The answer is untrue", ChoiceKind::kBoolean), "none");
  EXPECT_EQ(choice("No, wait. The answer is Yes.", ChoiceKind::kYesNo), "Yes");
  EXPECT_EQ(choice("I know nothing", ChoiceKind::kYesNo), "none");
  EXPECT_EQ(choice("2 + 6. The answer is 8.", ChoiceKind::kNumber), "8");
  EXPECT_EQ(choice("The answer is eight.", ChoiceKind::kNumber), "8");
  EXPECT_EQ(choice("no idea", ChoiceKind::kNumber), "none");
}

TEST(FindChoice, KindsByTheirTargets) {
  EXPECT_EQ(KindOfTarget("(R)"), ChoiceKind::kOption);
  EXPECT_EQ(KindOfTarget("False"), ChoiceKind::kBoolean);
  EXPECT_EQ(KindOfTarget("No"), ChoiceKind::kYesNo);
  EXPECT_EQ(KindOfTarget("18"), ChoiceKind::kNumber);
}

}  // namespace
}  // namespace hearth::eval
