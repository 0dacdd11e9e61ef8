#pragma once
// Questions to a judge about an open-ended answer, and what the judge's reply says. Threads: pure
// functions.

#include <optional>
#include <string>
#include <string_view>

namespace hearth::eval {

// Asks for a grade of 1 to 10.
std::string GradePrompt(std::string_view question, std::string_view answer);
// Asks which of two answers is better.
std::string PairPrompt(std::string_view question, std::string_view answer_a,
                       std::string_view answer_b);

// "[[7]]", "Rating: 7", "7/10", "7 out of 10"; the last one counts. Nothing: no grade of 1 to 10.
std::optional<double> ParseGrade(std::string_view reply);

enum class Preference { kFirst, kSecond, kTie };
// "[[A]]", "[[B]]", "[[C]]" or "[[tie]]", else "Verdict: A", "Winner: B", "Answer A is better"; the
// last one counts. Nothing: no verdict.
std::optional<Preference> ParsePreference(std::string_view reply);

// Of the judge's two verdicts, the second with the answers swapped: 1 when it prefers the first
// answer both times, 0 the second, else 0.5: what depends on the position is no preference.
double PairScore(Preference straight, Preference swapped);

}  // namespace hearth::eval
