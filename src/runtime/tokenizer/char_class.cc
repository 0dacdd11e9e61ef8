#include "runtime/tokenizer/char_class.h"

#include <array>

#include "runtime/tokenizer/unicode.h"

namespace hearth {
namespace {

constexpr CharClass ClassOfAscii(unsigned char c) {
  if (c >= 'A' && c <= 'Z') return CharClass::kUppercase;
  if (c >= 'a' && c <= 'z') return CharClass::kLowercase;
  if (c >= '0' && c <= '9') return CharClass::kDigit;
  switch (c) {
    case ' ':
      return CharClass::kSpace;
    case '\r':
    case '\n':
      return CharClass::kNewline;
    case '\t':
    case '\v':
    case '\f':
      return CharClass::kOtherWhite;
    case '/':
      return CharClass::kSlash;
    case '$':
    case '+':
    case '<':
    case '=':
    case '>':
    case '^':
    case '~':
    case '|':
      return CharClass::kMathSymbol;
    case '`':
      return CharClass::kOtherSymbol;
    default:
      return c > ' ' && c < 0x7F ? CharClass::kPunctuation : CharClass::kOther;
  }
}

constexpr auto kAsciiClasses = [] {
  std::array<uint8_t, 128> classes{};
  for (unsigned c = 0; c < classes.size(); ++c) {
    classes[c] = static_cast<uint8_t>(ClassOfAscii(static_cast<unsigned char>(c))) | kLeadBit;
  }
  return classes;
}();

CharClass ClassOf(uint32_t code_point) {
  switch (CategoryOf(code_point)) {
    case Category::kUppercase:
      return CharClass::kUppercase;
    case Category::kLowercase:
      return CharClass::kLowercase;
    case Category::kOtherLetter:
      return CharClass::kOtherLetter;
    case Category::kNonspacingMark:
    case Category::kOtherMark:
      return CharClass::kMark;
    case Category::kNumber:
      return CharClass::kOtherNumber;
    case Category::kPunctuation:
      return CharClass::kPunctuation;
    case Category::kSymbol:
      return CharClass::kOtherSymbol;
    case Category::kSeparator:
      return CharClass::kOtherWhite;
    case Category::kOther:
      break;
  }
  return code_point == 0x85 ? CharClass::kOtherWhite : CharClass::kOther;
}

}  // namespace

std::vector<uint8_t> ClassifyBytes(std::string_view text) {
  std::vector<uint8_t> classes(text.size());
  size_t position = 0;
  while (position < text.size()) {
    const auto byte = static_cast<unsigned char>(text[position]);
    if (byte < 0x80) {
      classes[position++] = kAsciiClasses[byte];
      continue;
    }
    const Utf8Unit unit = DecodeUtf8(text.substr(position));
    const auto character =
        unit.kind == Utf8Unit::Kind::kValid ? ClassOf(unit.code_point) : CharClass::kOther;
    classes[position] = static_cast<uint8_t>(character) | kLeadBit;
    for (size_t rest = 1; rest < unit.size_bytes; ++rest) {
      classes[position + rest] = static_cast<uint8_t>(character);
    }
    position += unit.size_bytes;
  }
  return classes;
}

}  // namespace hearth
