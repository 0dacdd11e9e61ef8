#pragma once
// Code points as Python's str sees them: decoding, classes and case mappings. The tables come from
// Python itself (make_unicode_tables.py).

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hearth::jinja {

struct CodePoint {
  uint32_t value = 0;
  uint32_t size_bytes = 1;
};

// Reads the code point that starts at `pos`. A byte that is not part of valid UTF-8 counts as one
// code point of its own, 0xDC00 plus the byte, as Python's surrogateescape has it. Requires: pos <
// text.size().
CodePoint DecodeAt(std::string_view text, size_t pos);

// The same for the code point that ends before `end`. Requires: 0 < end <= text.size().
CodePoint DecodeBefore(std::string_view text, size_t end);

// Appends UTF-8; a surrogate made by DecodeAt becomes its byte again, any other surrogate U+FFFD.
void AppendUtf8(uint32_t code_point, std::string& out);

size_t CountCodePoints(std::string_view text);

// Byte position of code point `index`, at most text.size().
size_t ByteOffset(std::string_view text, size_t index);

// Names of Python's predicates: IsDigit is str.isdigit() of a one-character string, and so on.
bool IsAlpha(uint32_t c);
bool IsDecimal(uint32_t c);
bool IsDigit(uint32_t c);
bool IsNumeric(uint32_t c);
bool IsAlnum(uint32_t c);
bool IsSpace(uint32_t c);
bool IsPrintable(uint32_t c);
bool IsLower(uint32_t c);
bool IsUpper(uint32_t c);
bool IsTitlecase(uint32_t c);
bool IsIdentifierStart(uint32_t c);
bool IsIdentifierPart(uint32_t c);
// A line ends here for str.splitlines().
bool IsLineBreak(uint32_t c);

// For the final sigma of str.lower().
bool IsCased(uint32_t c);
bool IsCaseIgnorable(uint32_t c);

enum class Case { kLower, kUpper, kTitle };

// Full case mapping: up to three code points, written to `out`; returns how many.
int MapCase(uint32_t c, Case to, uint32_t out[3]);

// The value of a decimal digit of any script. Requires: IsDecimal(c).
int DecimalValue(uint32_t c);

}  // namespace hearth::jinja
