#pragma once
// Python's two ways to fill in a string: "%s and %d" % (a, b), and "{} and {name:>8}".format(...).

#include <optional>

#include "runtime/chat_template/objects.h"
#include "runtime/chat_template/runtime.h"

namespace hearth::jinja {

// Requires: format.string().
Result<Value> FormatPercent(Runtime& rt, const Value& format, const Value& arguments);
Result<Value> FormatBraces(Runtime& rt, const Value& format, const Arguments& arguments);

// A number in pieces, to be padded: sign, a prefix such as 0x, and the digits.
struct NumberPieces {
  std::string sign, prefix, digits;
};

// How a piece fills its field. Python's '=' puts the fill between sign and digits.
struct Field {
  Text fill{" "};
  char align = '>';  // < > ^ =
  int64_t width = 0;
};
void AppendField(const Field& field, const NumberPieces& number, TextBuilder& builder);
void AppendField(const Field& field, const Text& text, TextBuilder& builder);

// Digits of an integer for d x X o b, with the prefix that '#' asks for.
NumberPieces IntegerPieces(int64_t value, char conversion, bool alternate, char plus);
// Digits of a float for e E f F g G. Requires: 0 <= precision <= kMaxPrecision.
NumberPieces FloatPieces(double value, char conversion, int precision, bool alternate, char plus);

}  // namespace hearth::jinja
