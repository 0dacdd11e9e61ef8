#include "eval/scorers/final_answer.h"

#include <algorithm>
#include <array>
#include <vector>

#include "eval/scorers/text.h"

namespace hearth::eval {
namespace {

struct FoundNumber {
  std::string value;
  size_t begin = 0, end = 0;
};

// "1,234" with groups of three is one number, "1, 2" and "12,5" are two.
size_t EndOfInteger(std::string_view text, size_t at) {
  const size_t begin = at;
  while (at < text.size() && IsDigit(text[at])) ++at;
  while (at - begin <= 15 && at + 3 < text.size() && text[at] == ',' && IsDigit(text[at + 1]) &&
         IsDigit(text[at + 2]) && IsDigit(text[at + 3]) &&
         (at + 4 == text.size() || !IsDigit(text[at + 4]))) {
    at += 4;
  }
  return at;
}

// Without leading zeros, trailing zeros of a fraction, and the sign of zero.
std::string Canonical(std::string_view integer, std::string_view fraction, bool negative) {
  std::string value;
  for (const char c : integer)
    if (IsDigit(c) && (c != '0' || !value.empty())) value += c;
  if (value.empty()) value = "0";
  while (fraction.ends_with('0')) fraction.remove_suffix(1);
  if (!fraction.empty()) value += "." + std::string(fraction);
  return negative && value != "0" ? "-" + value : value;
}

std::optional<FoundNumber> NextNumber(std::string_view text, size_t from) {
  for (size_t at = from; at < text.size(); ++at) {
    const bool leading_point = text[at] == '.' && at + 1 < text.size() && IsDigit(text[at + 1]) &&
                               (at == 0 || !IsWordChar(text[at - 1]));
    if (!IsDigit(text[at]) && !leading_point) continue;
    // Digits within a name are none: "x2".
    if (at > 0 && IsWordChar(text[at - 1])) {
      while (at + 1 < text.size() && IsWordChar(text[at + 1])) ++at;
      continue;
    }
    FoundNumber found;
    found.begin = at;
    const size_t integer_end = EndOfInteger(text, at);
    size_t end = integer_end;
    std::string_view fraction;
    if (end + 1 < text.size() && text[end] == '.' && IsDigit(text[end + 1])) {
      const size_t begin = ++end;
      while (end < text.size() && IsDigit(text[end])) ++end;
      fraction = text.substr(begin, end - begin);
    }
    // A minus sign, not a hyphen or a subtraction: "-5", "$-5", "-$5".
    size_t sign = at;
    if (sign > 0 && text[sign - 1] == '$') --sign;
    const bool negative =
        sign > 0 && text[sign - 1] == '-' &&
        (sign == 1 || text[sign - 2] == ' ' || text[sign - 2] == '$' || text[sign - 2] == '\n' ||
         text[sign - 2] == '{' || text[sign - 2] == '*');
    found.value = Canonical(text.substr(at, integer_end - at), fraction, negative);
    found.end = end;
    return found;
  }
  return std::nullopt;
}

std::optional<std::string> FirstNumber(std::string_view text) {
  const std::optional<FoundNumber> found = NextNumber(text, 0);
  return found ? std::optional(found->value) : std::nullopt;
}

std::optional<std::string> LastNumber(std::string_view text) {
  std::optional<std::string> last;
  size_t from = 0;
  while (const std::optional<FoundNumber> found = NextNumber(text, from)) {
    last = found->value;
    from = found->end;
  }
  return last;
}

// Behind the last mark of a final answer; empty without one.
std::string_view FinalPart(std::string_view answer, const std::string& lower) {
  constexpr std::array kMarks = {
      "answer is", "answer:", "answer**:", "answer:**", "####", "\\boxed{"};
  size_t best = std::string_view::npos;
  for (const std::string_view mark : kMarks) {
    const size_t at = lower.rfind(mark);
    if (at != std::string::npos && (best == std::string_view::npos || at + mark.size() > best))
      best = at + mark.size();
  }
  return best == std::string_view::npos ? std::string_view() : answer.substr(best);
}

// The sentence a mark begins: its line, or the next when nothing but signs stands on it.
std::string_view FirstWords(std::string_view part) {
  for (const std::string_view line : SplitLines(part)) {
    if (std::ranges::any_of(line, [](char c) { return IsWordChar(c); })) return line;
  }
  return part;
}

std::optional<std::string> LetterInParentheses(std::string_view text, bool last) {
  std::optional<std::string> found;
  for (size_t at = 0; at + 2 < text.size(); ++at) {
    if (text[at] != '(' || text[at + 1] < 'A' || text[at + 1] > 'Z' || text[at + 2] != ')')
      continue;
    found = std::string(text.substr(at, 3));
    if (!last) break;
  }
  return found;
}

// "B", "B.", "B)", "option B" at the beginning of a final part; "I" and "A" as words do not count.
std::optional<std::string> LoneLetter(std::string_view text) {
  std::string_view rest = Trim(text);
  while (!rest.empty() && !IsWordChar(rest[0])) rest.remove_prefix(1);
  const std::string lower = ToLower(rest);
  for (const std::string_view word : {"option ", "choice "})
    if (lower.starts_with(word)) rest.remove_prefix(word.size());
  if (rest.empty() || rest[0] < 'A' || rest[0] > 'Z') return std::nullopt;
  if (rest.size() > 1 && (IsWordChar(rest[1]) || rest[1] == '\'')) return std::nullopt;
  if (rest.size() > 2 && rest[1] == ' ' && IsWordChar(rest[2])) return std::nullopt;
  return std::string("(") + rest[0] + ")";
}

// The one option whose text stands in `text`, the longest where several overlap.
std::optional<std::string> OptionByText(std::string_view text, std::string_view question) {
  const std::string haystack = ToLower(text);
  std::string best;
  size_t best_size = 0;
  for (const std::string_view line : SplitLines(question)) {
    if (line.size() < 5 || line[0] != '(' || line[2] != ')') continue;
    const std::string option = ToLower(Trim(line.substr(3)));
    if (option.empty() || FindWord(haystack, option) == std::string::npos) continue;
    if (option.size() > best_size) {
      best = std::string(line.substr(0, 3));
      best_size = option.size();
    } else if (option.size() == best_size) {
      best.clear();
    }
  }
  return best.empty() ? std::nullopt : std::optional(best);
}

std::optional<std::string> FindOption(std::string_view answer, std::string_view final_part,
                                      std::string_view question) {
  if (!final_part.empty()) {
    const std::string_view line = FirstWords(final_part);
    if (auto letter = LetterInParentheses(line, /*last=*/false)) return letter;
    if (auto letter = LoneLetter(line)) return letter;
    if (auto letter = OptionByText(line, question)) return letter;
  }
  const std::string_view whole = Trim(answer);
  if (whole.size() <= 3) {
    if (auto letter = LoneLetter(whole)) return letter;
  }
  if (auto letter = LetterInParentheses(answer, /*last=*/true)) return letter;
  const std::vector<std::string_view> lines = SplitLines(whole);
  return lines.empty() ? std::nullopt : OptionByText(lines.back(), question);
}

// Which of two words comes first, or last.
std::optional<std::string> OneOf(std::string_view text, const std::array<const char*, 2>& words,
                                 bool last) {
  const std::string lower = ToLower(text);
  std::optional<std::string> found;
  size_t found_at = 0;
  for (const char* word : words) {
    const std::string needle = ToLower(word);
    for (size_t at = FindWord(lower, needle); at != std::string::npos;
         at = FindWord(lower, needle, at + 1)) {
      if (!found || (last ? at > found_at : at < found_at)) {
        found = word;
        found_at = at;
      }
    }
  }
  return found;
}

std::optional<std::string> NumberWord(std::string_view text) {
  constexpr std::array kWords = {
      "zero",     "one",     "two",     "three",     "four",     "five",     "six",
      "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",   "thirteen",
      "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"};
  const std::string lower = ToLower(text);
  size_t first = std::string::npos;
  std::optional<std::string> found;
  for (size_t value = 0; value < kWords.size(); ++value) {
    const size_t at = FindWord(lower, kWords[value]);
    if (at < first) {
      first = at;
      found = std::to_string(value);
    }
  }
  return found;
}

}  // namespace

std::optional<std::string> FindNumber(std::string_view answer) {
  const std::string_view part = FinalPart(answer, ToLower(answer));
  // "The answer is 3 + 4 = 7": what stands behind the equals sign.
  if (!part.empty()) {
    std::string_view line = FirstWords(part);
    if (const size_t equals = line.rfind('='); equals != std::string_view::npos)
      if (auto number = FirstNumber(line.substr(equals))) return number;
    if (auto number = FirstNumber(line)) return number;
  }
  return LastNumber(answer);
}

std::optional<std::string> GoldNumber(std::string_view worked_solution) {
  const size_t at = worked_solution.rfind("####");
  if (at == std::string_view::npos) return std::nullopt;
  return FirstNumber(worked_solution.substr(at + 4));
}

ChoiceKind KindOfTarget(std::string_view target) {
  if (target == "True" || target == "False") return ChoiceKind::kBoolean;
  if (target == "Yes" || target == "No") return ChoiceKind::kYesNo;
  return target.starts_with('(') ? ChoiceKind::kOption : ChoiceKind::kNumber;
}

std::optional<std::string> FindChoice(std::string_view answer, ChoiceKind kind,
                                      std::string_view question) {
  const std::string plain = ReplaceAll(std::string(answer), "**", "");
  const std::string_view part = FinalPart(plain, ToLower(plain));
  switch (kind) {
    case ChoiceKind::kOption:
      return FindOption(plain, part, question);
    case ChoiceKind::kBoolean:
    case ChoiceKind::kYesNo: {
      const std::array<const char*, 2> words = kind == ChoiceKind::kBoolean
                                                   ? std::array<const char*, 2>{"True", "False"}
                                                   : std::array<const char*, 2>{"Yes", "No"};
      if (auto word = OneOf(part, words, /*last=*/false)) return word;
      return OneOf(plain, words, /*last=*/true);
    }
    case ChoiceKind::kNumber:
      break;
  }
  if (!part.empty()) {
    if (auto number = FirstNumber(FirstWords(part))) return number;
    if (auto number = NumberWord(FirstWords(part))) return number;
  }
  return LastNumber(plain);
}

}  // namespace hearth::eval
