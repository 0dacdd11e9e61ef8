#include "eval/scorers/judge.h"

#include <array>

#include "eval/scorers/text.h"

namespace hearth::eval {
namespace {

// What stands between the last "[[" and "]]".
std::optional<std::string> LastBrackets(std::string_view reply) {
  const size_t open = reply.rfind("[[");
  if (open == std::string_view::npos) return std::nullopt;
  const size_t close = reply.find("]]", open);
  if (close == std::string_view::npos) return std::nullopt;
  return ToLower(Trim(reply.substr(open + 2, close - open - 2)));
}

// A number at the beginning of the text, past spaces and signs of emphasis.
std::optional<double> LeadingNumber(std::string_view text) {
  while (!text.empty() && std::string_view(" \t\n*:=[(_").find(text[0]) != std::string_view::npos)
    text.remove_prefix(1);
  size_t end = 0;
  double value = 0, scale = 0;
  for (; end < text.size() && end < 8; ++end) {
    const char c = text[end];
    if (IsDigit(c)) {
      value = scale > 0 ? value + (c - '0') * scale : value * 10 + (c - '0');
      scale /= 10;
    } else if (c == '.' && scale == 0 && end > 0 && end + 1 < text.size() &&
               IsDigit(text[end + 1])) {
      scale = 0.1;
    } else {
      break;
    }
  }
  if (end == 0) return std::nullopt;
  return value;
}

std::optional<double> InRange(std::optional<double> grade) {
  return grade && *grade >= 1 && *grade <= 10 ? grade : std::nullopt;
}

// The number that ends right before `at`.
std::optional<double> NumberBefore(std::string_view text, size_t at) {
  size_t end = at;
  while (end > 0 && (text[end - 1] == ' ' || text[end - 1] == '*')) --end;
  size_t begin = end;
  while (begin > 0 && (IsDigit(text[begin - 1]) || text[begin - 1] == '.')) --begin;
  return LeadingNumber(text.substr(begin, end - begin));
}

std::optional<Preference> Named(std::string_view word) {
  if (word == "a" || word == "assistant a" || word == "answer a") return Preference::kFirst;
  if (word == "b" || word == "assistant b" || word == "answer b") return Preference::kSecond;
  if (word == "c" || word == "tie" || word == "draw" || word == "equal") return Preference::kTie;
  return std::nullopt;
}

// The first word of `text`, past signs and "answer" or "assistant".
std::optional<Preference> LeadingPreference(std::string_view text) {
  for (int word = 0; word < 4; ++word) {
    while (!text.empty() && !IsWordChar(text[0])) text.remove_prefix(1);
    size_t end = 0;
    while (end < text.size() && IsWordChar(text[end])) ++end;
    const std::string_view first = text.substr(0, end);
    if (const auto preference = Named(first)) return preference;
    if (first != "answer" && first != "assistant" && first != "is" && first != "the")
      return std::nullopt;
    text.remove_prefix(end);
  }
  return std::nullopt;
}

}  // namespace

std::string GradePrompt(std::string_view question, std::string_view answer) {
  return "Judge how well an assistant answered a question. Look at whether the answer is correct, "
         "helpful, to the point, deep enough and well written; length alone is no merit. Say in "
         "two or three sentences what is good and bad about it. Then grade it from 1 (useless) to "
         "10 (could not be better) and end with the grade in this form: [[5]]\n\n"
         "<question>\n" +
         std::string(question) + "\n</question>\n\n<answer>\n" + std::string(answer) +
         "\n</answer>";
}

std::string PairPrompt(std::string_view question, std::string_view answer_a,
                       std::string_view answer_b) {
  return "Judge which of two answers to a question is better. Look at whether they are correct, "
         "helpful, to the point, deep enough and well written; neither length nor order is a "
         "merit. Compare them in two or three sentences. Then end with your verdict in one of "
         "these forms: [[A]] when answer A is better, [[B]] when answer B is better, [[C]] when "
         "neither is.\n\n<question>\n" +
         std::string(question) + "\n</question>\n\n<answer_a>\n" + std::string(answer_a) +
         "\n</answer_a>\n\n<answer_b>\n" + std::string(answer_b) + "\n</answer_b>";
}

std::optional<double> ParseGrade(std::string_view reply) {
  if (const auto brackets = LastBrackets(reply)) {
    if (const auto grade = InRange(LeadingNumber(*brackets))) return grade;
    for (const std::string_view word : {"rating", "grade", "score"}) {
      if (!brackets->starts_with(word)) continue;
      return InRange(LeadingNumber(std::string_view(*brackets).substr(word.size())));
    }
    return std::nullopt;
  }
  const std::string lower = ToLower(reply);
  for (const std::string_view mark : {"/10", "/ 10", "out of 10"}) {
    const size_t at = lower.rfind(mark);
    if (at == std::string::npos) continue;
    if (const auto grade = InRange(NumberBefore(lower, at))) return grade;
  }
  std::optional<double> last;
  size_t last_at = 0;
  for (const std::string_view word : {"rating", "grade", "score"}) {
    for (size_t at = FindWord(lower, word); at != std::string::npos;
         at = FindWord(lower, word, at + 1)) {
      std::string_view rest = std::string_view(lower).substr(at + word.size());
      for (const std::string_view filler : {" is", " of", "**:", ":"})
        if (rest.starts_with(filler)) rest.remove_prefix(filler.size());
      const auto grade = InRange(LeadingNumber(rest));
      if (grade && (!last || at > last_at)) {
        last = grade;
        last_at = at;
      }
    }
  }
  return last ? last : (Trim(lower).size() <= 4 ? InRange(LeadingNumber(Trim(lower))) : last);
}

std::optional<Preference> ParsePreference(std::string_view reply) {
  if (const auto brackets = LastBrackets(reply)) return Named(*brackets);
  const std::string lower = ToLower(reply);
  std::optional<Preference> last;
  size_t last_at = 0;
  const auto consider = [&](size_t at, std::optional<Preference> preference) {
    if (!preference || (last && at < last_at)) return;
    last = preference;
    last_at = at;
  };
  for (const std::string_view mark : {"verdict", "winner", "better answer"}) {
    for (size_t at = FindWord(lower, mark); at != std::string::npos;
         at = FindWord(lower, mark, at + 1)) {
      consider(at, LeadingPreference(std::string_view(lower).substr(at + mark.size())));
    }
  }
  for (const std::string_view who : {"answer a", "assistant a", "answer b", "assistant b"}) {
    for (const std::string_view verb : {" is better", " is the better", " wins", " is superior"}) {
      const std::string phrase = std::string(who) + std::string(verb);
      consider(lower.rfind(phrase) == std::string::npos ? 0 : lower.rfind(phrase),
               lower.rfind(phrase) == std::string::npos ? std::nullopt : Named(who));
    }
  }
  if (!last && Trim(lower).size() <= 3) return LeadingPreference(lower);
  return last;
}

double PairScore(Preference straight, Preference swapped) {
  if (straight == Preference::kFirst && swapped == Preference::kSecond) return 1;
  if (straight == Preference::kSecond && swapped == Preference::kFirst) return 0;
  return 0.5;
}

}  // namespace hearth::eval
