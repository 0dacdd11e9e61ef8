#include "runtime/chat_template/format.h"

#include <algorithm>
#include <cmath>

#include "runtime/chat_template/number.h"
#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {
namespace {

std::string SignOf(bool negative, char plus) {
  if (negative) return "-";
  return plus == '+' || plus == ' ' ? std::string(1, plus) : "";
}

void MakeUpper(std::string& text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
}

}  // namespace

void AppendField(const Field& field, const NumberPieces& number, TextBuilder& builder) {
  if (field.align != '=') {
    AppendField(field, Text(number.sign + number.prefix + number.digits), builder);
    return;
  }
  const auto length =
      static_cast<int64_t>(number.sign.size() + number.prefix.size() + number.digits.size());
  builder.Append(number.sign + number.prefix);
  builder.AppendRepeated(field.fill, field.width - length);
  builder.Append(number.digits);
}

void AppendField(const Field& field, const Text& text, TextBuilder& builder) {
  const int64_t missing =
      std::max<int64_t>(0, field.width - static_cast<int64_t>(CountCodePoints(text.view())));
  const int64_t left = field.align == '<' ? 0 : field.align == '^' ? missing / 2 : missing;
  builder.AppendRepeated(field.fill, left);
  builder.Append(text);
  builder.AppendRepeated(field.fill, missing - left);
}

NumberPieces IntegerPieces(int64_t value, char conversion, bool alternate, char plus) {
  NumberPieces pieces;
  pieces.sign = SignOf(value < 0, plus);
  unsigned base = 10;
  switch (conversion) {
    case 'x':
    case 'X':
      base = 16;
      break;
    case 'o':
      base = 8;
      break;
    case 'b':
      base = 2;
      break;
    default:
      break;
  }
  pieces.digits = FormatUnsigned(Magnitude(value), base);
  if (alternate && base != 10) pieces.prefix = std::string("0") + conversion;
  if (conversion == 'X') MakeUpper(pieces.digits);
  return pieces;
}

NumberPieces FloatPieces(double value, char conversion, int precision, bool alternate, char plus) {
  const bool upper = conversion >= 'A' && conversion <= 'Z';
  const char lower = upper ? static_cast<char>(conversion - 'A' + 'a') : conversion;
  NumberPieces pieces;
  pieces.sign = SignOf(std::signbit(value) && !std::isnan(value), plus);
  pieces.digits = FormatFloat(std::fabs(value), lower, precision, alternate);
  if (upper) MakeUpper(pieces.digits);
  return pieces;
}

}  // namespace hearth::jinja
