#pragma once
// Text as the pre-tokenizers see it: one class per byte, so that scanning is a walk over an array.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace hearth {

enum class CharClass : uint8_t {
  kUppercase,    // Lu, Lt
  kLowercase,    // Ll
  kOtherLetter,  // Lm, Lo
  kMark,         // M
  kDigit,        // 0-9
  kOtherNumber,  // the rest of N
  kSpace,        // U+0020
  kNewline,      // CR, LF
  kOtherWhite,   // the rest of White_Space
  kSlash,        // /
  kPunctuation,  // the rest of P
  kMathSymbol,   // $ + < = > ^ ~ |
  kOtherSymbol,  // the rest of S
  kOther,        // and every broken byte sequence
};

// Sets of classes are bit masks.
using ClassSet = uint32_t;
constexpr ClassSet SetOf(CharClass character) {
  return ClassSet{1} << static_cast<unsigned>(character);
}

inline constexpr ClassSet kLetters =
    SetOf(CharClass::kUppercase) | SetOf(CharClass::kLowercase) | SetOf(CharClass::kOtherLetter);
inline constexpr ClassSet kMarks = SetOf(CharClass::kMark);
inline constexpr ClassSet kNumbers = SetOf(CharClass::kDigit) | SetOf(CharClass::kOtherNumber);
inline constexpr ClassSet kNewlines = SetOf(CharClass::kNewline);
inline constexpr ClassSet kWhitespace =
    SetOf(CharClass::kSpace) | kNewlines | SetOf(CharClass::kOtherWhite);
inline constexpr ClassSet kAnything = (SetOf(CharClass::kOther) << 1) - 1;

// Every byte of a character carries its class; the first one also says that it is the first.
inline constexpr uint8_t kLeadBit = 0x80;
std::vector<uint8_t> ClassifyBytes(std::string_view text);

}  // namespace hearth
