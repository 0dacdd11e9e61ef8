#pragma once
// The little Unicode the tokenizers need: walking UTF-8 that may be broken, and properties of code
// points (from utf8proc).

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

struct Utf8Unit {
  enum class Kind : uint8_t {
    kValid,
    kInvalid,    // bytes that can never become a character
    kTruncated,  // the text ends inside a character that is right so far
  };
  uint32_t code_point = 0;  // of a valid unit
  // of the unit; of a broken one, the longest prefix of a character (Unicode 3.9, table 3-8)
  uint8_t size_bytes = 1;
  Kind kind = Kind::kValid;
};

// The unit at the start of `text`. Requires: text is not empty.
Utf8Unit DecodeUtf8(std::string_view text);

// Requires: a code point up to U+10FFFF.
void AppendUtf8(uint32_t code_point, std::string& out);

inline constexpr uint32_t kReplacementCharacter = 0xFFFD;
// U+2581, how SentencePiece spells a space.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// What a general category is to a pre-tokenizer or to BERT's normaliser.
enum class Category : uint8_t {
  kUppercase,    // Lu, Lt
  kLowercase,    // Ll
  kOtherLetter,  // Lm, Lo
  kNonspacingMark,
  kOtherMark,  // Mc, Me
  kNumber,     // Nd, Nl, No
  kPunctuation,
  kSymbol,
  kSeparator,  // Zs, Zl, Zp
  kOther,      // control, format, private use, unassigned
};
Category CategoryOf(uint32_t code_point);

// Unicode's White_Space property.
bool IsWhitespace(uint32_t code_point);

}  // namespace hearth
