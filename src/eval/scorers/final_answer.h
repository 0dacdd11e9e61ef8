#pragma once
// Finds what an answer in prose settles on: a number (GSM8K) or one of a task's kinds of answers
// (BBH). The part behind the last "answer is", "Answer:", "####" or \boxed{ counts; without any of
// them the last thing of the right kind does. Threads: pure functions.

#include <optional>
#include <string>
#include <string_view>

namespace hearth::eval {

// As a plain decimal: "$1,234.50" -> "1234.5". Nothing: the answer holds no number.
std::optional<std::string> FindNumber(std::string_view answer);

// The number behind GSM8K's "####". Nothing: there is none.
std::optional<std::string> GoldNumber(std::string_view worked_solution);

enum class ChoiceKind {
  kOption,   // "(A)": one of the lines "(A) text" of the question
  kBoolean,  // "True", "False"
  kYesNo,    // "Yes", "No"
  kNumber,   // "8"
};
// By what the right answer looks like.
ChoiceKind KindOfTarget(std::string_view target);

// In the target's own form. For options a lone letter counts, and so does the text of exactly one
// of the question's options. Nothing: the answer settles on nothing of that kind.
std::optional<std::string> FindChoice(std::string_view answer, ChoiceKind kind,
                                      std::string_view question);

}  // namespace hearth::eval
