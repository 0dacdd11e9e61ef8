#pragma once
// The published pre-tokenizer patterns, as scanners: each takes the start of a piece of text and
// gives the end of its first word. Written out by hand because a backtracking regex engine needs
// quadratic time on some of these inputs.
//
// `Text` offers Class(i) -> class byte (char_class.h) and Byte(i); a template, so that tests can
// count the look-ups. Every scanner: Requires begin < end; looks only at [begin, end); returns a
// position in (begin, end].

#include <cstddef>
#include <cstdint>
#include <optional>

#include "runtime/tokenizer/char_class.h"

namespace hearth::word_patterns {

template <typename Text>
bool IsIn(const Text& text, size_t position, ClassSet set) {
  return (set >> (text.Class(position) & ~kLeadBit) & 1) != 0;
}

// End of the longest run of characters of `set` from `position`; `position` itself when there is
// none.
template <typename Text>
size_t SkipRun(const Text& text, size_t position, size_t end, ClassSet set) {
  while (position < end && IsIn(text, position, set)) ++position;
  return position;
}

template <typename Text>
size_t SkipCharacter(const Text& text, size_t position, size_t end) {
  do {
    ++position;
  } while (position < end && (text.Class(position) & kLeadBit) == 0);
  return position;
}

// Start of the character that ends at `position`.
template <typename Text>
size_t PreviousCharacter(const Text& text, size_t position) {
  do {
    --position;
  } while ((text.Class(position) & kLeadBit) == 0);
  return position;
}

// \s+(?!\S)|\s+ : all of the whitespace at the end of the text, else all but its last character
// (which goes with the next word), else that one. Requires: whitespace at `begin`.
template <typename Text>
size_t WhitespaceWord(const Text& text, size_t begin, size_t end) {
  const size_t run_end = SkipRun(text, begin, end, kWhitespace);
  if (run_end == end) return end;
  const size_t last = PreviousCharacter(text, run_end);
  return last > begin ? last : run_end;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last line break of the run if it has one. Requires:
// whitespace at `begin`.
template <typename Text>
size_t WhitespaceOrLines(const Text& text, size_t begin, size_t end) {
  for (size_t last = SkipRun(text, begin, end, kWhitespace); last > begin; --last) {
    if (IsIn(text, last - 1, kNewlines)) return last;
  }
  return WhitespaceWord(text, begin, end);
}

// 's|'t|'re|'ve|'m|'ll|'d at `begin`, or nothing. Ignoring case, U+017F (long s) is an s as well.
template <typename Text>
std::optional<size_t> Contraction(const Text& text, size_t begin, size_t end, bool ignore_case) {
  if (begin >= end || text.Byte(begin) != '\'') return std::nullopt;
  const auto letter = [&](size_t position) -> char {
    if (position >= end) return 0;
    const auto byte = static_cast<unsigned char>(text.Byte(position));
    return static_cast<char>(ignore_case && byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
  };
  const char first = letter(begin + 1);
  const char second = letter(begin + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return begin + 2;
  if ((first == 'r' || first == 'v') && second == 'e') return begin + 3;
  if (first == 'l' && second == 'l') return begin + 3;
  if (ignore_case && first == '\xC5' && second == '\xBF') return begin + 3;
  return std::nullopt;
}

// \p{N}{1,max_digits}
template <typename Text>
size_t Digits(const Text& text, size_t begin, size_t end, int max_digits) {
  size_t position = begin;
  for (int count = 0; count < max_digits && position < end && IsIn(text, position, kNumbers);
       ++count) {
    position = SkipCharacter(text, position, end);
  }
  return position;
}

// Where symbols start that a space may precede: " ?[symbols]+". Nothing when there are none.
template <typename Text>
std::optional<size_t> AfterOptionalSpace(const Text& text, size_t begin, size_t end, ClassSet set) {
  const size_t first = IsIn(text, begin, SetOf(CharClass::kSpace)) ? begin + 1 : begin;
  if (first < end && IsIn(text, first, set)) return first;
  return std::nullopt;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
template <typename Text>
size_t Gpt2(const Text& text, size_t begin, size_t end) {
  if (const auto contraction = Contraction(text, begin, end, false)) return *contraction;
  for (const ClassSet set :
       {kLetters, kNumbers, kAnything & ~(kWhitespace | kLetters | kNumbers)}) {
    if (const auto first = AfterOptionalSpace(text, begin, end, set)) {
      return SkipRun(text, *first, end, set);
    }
  }
  return WhitespaceWord(text, begin, end);
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[L]+|\p{N}{1,max_digits}|
// ?[^\s\p{N}L]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ with L = \p{L} (Llama 3: up to 3 digits; Qwen 2:
// 1), or L = \p{L}\p{M} (Qwen 3.5).
template <ClassSet kWordSet, int kMaxDigits, typename Text>
size_t Llama3(const Text& text, size_t begin, size_t end) {
  constexpr ClassSet kSymbols = kAnything & ~(kWhitespace | kWordSet | kNumbers);
  if (const auto contraction = Contraction(text, begin, end, true)) return *contraction;
  if (IsIn(text, begin, kWordSet)) return SkipRun(text, begin, end, kWordSet);
  if (IsIn(text, begin, kNumbers)) return Digits(text, begin, end, kMaxDigits);
  if (!IsIn(text, begin, kNewlines)) {
    const size_t second = SkipCharacter(text, begin, end);
    if (second < end && IsIn(text, second, kWordSet)) return SkipRun(text, second, end, kWordSet);
  }
  if (const auto first = AfterOptionalSpace(text, begin, end, kSymbols)) {
    return SkipRun(text, SkipRun(text, *first, end, kSymbols), end, kNewlines);
  }
  return WhitespaceOrLines(text, begin, end);
}

// both an upper and a lower case letter
inline constexpr ClassSet kCaseless = SetOf(CharClass::kOtherLetter) | kMarks;
inline constexpr ClassSet kUpperSet = SetOf(CharClass::kUppercase) | kCaseless;
inline constexpr ClassSet kLowerSet = SetOf(CharClass::kLowercase) | kCaseless;

// U*L+ with U = \p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M} and L = \p{Ll}\p{Lm}\p{Lo}\p{M}.
template <typename Text>
std::optional<size_t> CapitalisedWord(const Text& text, size_t begin, size_t end) {
  const size_t upper_end = SkipRun(text, begin, end, kUpperSet);
  const size_t lower_end = SkipRun(text, upper_end, end, kLowerSet);
  if (lower_end > upper_end) return lower_end;
  // The last letter of U* that is also in L is given back to L+; what follows it is upper case and
  // stays behind.
  for (size_t last = upper_end; last > begin; --last) {
    if (IsIn(text, last - 1, kCaseless)) return last;
  }
  return std::nullopt;
}

// U+L*, tried where U*L+ has failed: there is no L to follow.
template <typename Text>
std::optional<size_t> UppercaseWord(const Text& text, size_t begin, size_t end) {
  const size_t upper_end = SkipRun(text, begin, end, kUpperSet);
  return upper_end > begin ? std::optional(upper_end) : std::nullopt;
}

// [^\r\n\p{L}\p{N}]?U*L+C|[^\r\n\p{L}\p{N}]?U+L*C|\p{N}{1,max_digits}|
// ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+ with C = (?i:'s|'t|'re|'ve|'m|'ll|'d)? for
// GPT-4o (3 digits), and nothing for Mistral's Tekken (1 digit).
template <bool kContractions, int kMaxDigits, typename Text>
size_t Cased(const Text& text, size_t begin, size_t end) {
  constexpr ClassSet kSymbols = kAnything & ~(kWhitespace | kLetters | kNumbers);
  const bool may_prefix = !IsIn(text, begin, kNewlines | kLetters | kNumbers);
  const size_t second = may_prefix ? SkipCharacter(text, begin, end) : begin;
  // A mark can be the prefix or belong to the word; the pattern prefers the first.
  std::optional<size_t> word = CapitalisedWord(text, second, end);
  if (!word && may_prefix) word = CapitalisedWord(text, begin, end);
  if (!word) word = UppercaseWord(text, second, end);
  if (!word && may_prefix) word = UppercaseWord(text, begin, end);
  if (word) {
    return kContractions ? Contraction(text, *word, end, true).value_or(*word) : *word;
  }
  if (IsIn(text, begin, kNumbers)) return Digits(text, begin, end, kMaxDigits);
  if (const auto first = AfterOptionalSpace(text, begin, end, kSymbols)) {
    return SkipRun(text, SkipRun(text, *first, end, kSymbols), end,
                   kNewlines | SetOf(CharClass::kSlash));
  }
  return WhitespaceOrLines(text, begin, end);
}

// Splits that come before another pattern: what matches is a word, and so is what lies between two
// matches.

// \p{N}
template <typename Text>
size_t SingleNumbers(const Text& text, size_t begin, size_t end) {
  return IsIn(text, begin, kNumbers) ? SkipCharacter(text, begin, end)
                                     : SkipRun(text, begin, end, kAnything & ~kNumbers);
}

// [set]+
template <ClassSet kSet, typename Text>
size_t Runs(const Text& text, size_t begin, size_t end) {
  return SkipRun(text, begin, end, IsIn(text, begin, kSet) ? kSet : kAnything & ~kSet);
}

// [0-9][0-9][0-9]
template <typename Text>
size_t DigitTriples(const Text& text, size_t begin, size_t end) {
  constexpr ClassSet kAsciiDigits = SetOf(CharClass::kDigit);
  size_t digits = 0;
  for (size_t position = begin; position < end; ++position) {
    digits = IsIn(text, position, kAsciiDigits) ? digits + 1 : 0;
    if (digits == 3) {
      const size_t first = position - 2;
      return first == begin ? begin + 3 : first;
    }
  }
  return end;
}

}  // namespace hearth::word_patterns
