#include "runtime/chat_template/number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {
namespace {

// Room for 309 digits before the point, kMaxPrecision after it, sign, point and exponent.
constexpr size_t kBufferBytes = 400 + kMaxPrecision;

std::string_view TrimSpace(std::string_view text) {
  while (!text.empty()) {
    const CodePoint c = DecodeAt(text, 0);
    if (!IsSpace(c.value)) break;
    text.remove_prefix(c.size_bytes);
  }
  while (!text.empty()) {
    const CodePoint c = DecodeBefore(text, text.size());
    if (!IsSpace(c.value)) break;
    text.remove_suffix(c.size_bytes);
  }
  return text;
}

// The text without blanks around it and with every script's digits as ASCII; other code points
// stay.
std::string AsciiDigits(std::string_view text) {
  text = TrimSpace(text);
  std::string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeAt(text, pos);
    if (c.value >= 0x80 && IsDecimal(c.value)) {
      out.push_back(static_cast<char>('0' + DecimalValue(c.value)));
    } else {
      out.append(text, pos, c.size_bytes);
    }
    pos += c.size_bytes;
  }
  return out;
}

// Underscores may stand between two digits and nowhere else. Removes them; false if one is out of
// place.
template <typename IsDigitChar>
bool RemoveUnderscores(std::string& text, IsDigitChar is_digit) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out.push_back(text[i]);
      continue;
    }
    if (i == 0 || i + 1 == text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1])) {
      return false;
    }
  }
  text = std::move(out);
  return true;
}

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 36;
}

// The base that a prefix such as 0x names, or 0.
int PrefixBase(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  switch (text[1] | 0x20) {
    case 'x':
      return 16;
    case 'o':
      return 8;
    case 'b':
      return 2;
    default:
      return 0;
  }
}

std::optional<double> ParseNonFinite(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  const bool negative = !lower.empty() && lower[0] == '-';
  if (!lower.empty() && (lower[0] == '-' || lower[0] == '+')) lower.erase(0, 1);
  if (lower == "inf" || lower == "infinity") return negative ? -HUGE_VAL : HUGE_VAL;
  if (lower == "nan") return std::nan("");
  return std::nullopt;
}

// Decimal digits, point and exponent as float() takes them: [+-] digits [. digits] [e [+-] digits],
// a digit somewhere.
bool IsDecimalFloat(std::string_view text) {
  size_t pos = 0;
  const auto digits = [&] {
    const size_t begin = pos;
    while (pos < text.size() && text[pos] >= '0' && text[pos] <= '9') ++pos;
    return pos - begin;
  };
  if (pos < text.size() && (text[pos] == '+' || text[pos] == '-')) ++pos;
  size_t mantissa = digits();
  if (pos < text.size() && text[pos] == '.') {
    ++pos;
    mantissa += digits();
  }
  if (mantissa == 0) return false;
  if (pos < text.size() && (text[pos] == 'e' || text[pos] == 'E')) {
    ++pos;
    if (pos < text.size() && (text[pos] == '+' || text[pos] == '-')) ++pos;
    if (digits() == 0) return false;
  }
  return pos == text.size();
}

// printf's 'g' with '#' keeps the trailing zeros, which std::to_chars drops.
std::string FormatGeneralAlternate(double value, int precision) {
  precision = std::max(precision, 1);
  const std::string scientific = FormatFloat(value, 'e', precision - 1, true);
  const size_t e = scientific.find('e');
  const int exponent = std::atoi(scientific.c_str() + e + 1);
  if (exponent < -4 || exponent >= precision) return scientific;
  return FormatFloat(value, 'f', precision - 1 - exponent, true);
}

}  // namespace

std::string FloatRepr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific)
                       .ptr;
  std::string text(buffer.data(), end);
  const size_t e = text.find('e');
  const int exponent = std::atoi(text.c_str() + e + 1);
  std::string digits;
  const std::string sign = text[0] == '-' ? "-" : "";
  for (char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits.push_back(c);
  }
  // Python writes an exponent below 1e-4 and from 1e16 on.
  if (exponent < -4 || exponent >= 16) {
    std::string out = sign + digits.substr(0, 1);
    if (digits.size() > 1) out += "." + digits.substr(1);
    const std::string power = std::to_string(std::abs(exponent));
    return out + "e" + (exponent < 0 ? "-" : "+") + (power.size() < 2 ? "0" : "") + power;
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string FormatFloat(double value, char conversion, int precision, bool alternate) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  if (conversion == 'g') {
    if (alternate) return FormatGeneralAlternate(value, precision);
    precision = std::max(precision, 1);
  }
  const auto format = conversion == 'e'   ? std::chars_format::scientific
                      : conversion == 'f' ? std::chars_format::fixed
                                          : std::chars_format::general;
  std::array<char, kBufferBytes> buffer;
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format, precision).ptr;
  std::string text(buffer.data(), end);
  if (alternate && precision == 0) {
    const size_t e = text.find('e');
    text.insert(e == std::string::npos ? text.size() : e, ".");
  }
  return text;
}

std::string FormatUnsigned(uint64_t value, unsigned base) {
  std::array<char, 64> buffer;
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, static_cast<int>(base))
          .ptr;
  return std::string(buffer.data(), end);
}

std::optional<ParsedInt> ParseInt(std::string_view source, int base) {
  std::string text = AsciiDigits(source);
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.erase(0, 1);
  }
  const int prefix = PrefixBase(text);
  if (prefix != 0 && (base == 0 || base == prefix)) {
    base = prefix;
    text.erase(0, 2);
    if (!text.empty() && text[0] == '_') text.erase(0, 1);
  } else if (base == 0) {
    base = 10;
    const bool leading_zero = text.size() > 1 && text[0] == '0';
    if (leading_zero && text.find_first_not_of("0_") != std::string::npos) return std::nullopt;
  }
  if (!RemoveUnderscores(text, [&](char c) { return DigitValue(c) < base; })) return std::nullopt;
  if (text.empty()) return std::nullopt;
  uint64_t magnitude = 0;
  bool overflow = false;
  for (char c : text) {
    const int digit = DigitValue(c);
    if (digit >= base) return std::nullopt;
    overflow |= __builtin_mul_overflow(magnitude, static_cast<uint64_t>(base), &magnitude);
    overflow |= __builtin_add_overflow(magnitude, static_cast<uint64_t>(digit), &magnitude);
  }
  const uint64_t limit = static_cast<uint64_t>(INT64_MAX) + (negative ? 1 : 0);
  if (overflow || magnitude > limit) return ParsedInt{0, true};
  return ParsedInt{static_cast<int64_t>(negative ? 0 - magnitude : magnitude), false};
}

std::optional<double> ParseFloat(std::string_view source) {
  std::string text = AsciiDigits(source);
  if (!RemoveUnderscores(text, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  if (const auto special = ParseNonFinite(text)) return special;
  if (!IsDecimalFloat(text)) return std::nullopt;
  const size_t begin = text[0] == '+' ? 1 : 0;
  double value = 0;
  const auto result = std::from_chars(text.data() + begin, text.data() + text.size(), value);
  if (result.ec != std::errc::result_out_of_range) return value;
  // Too large becomes infinity and too small zero; from_chars does not say which.
  const bool negative = text[0] == '-';
  const size_t e = text.find_first_of("eE");
  const bool tiny = e != std::string::npos ? text[e + 1] == '-' : text.find('.') < 2 + begin;
  const double magnitude = tiny ? 0.0 : HUGE_VAL;
  return negative ? -magnitude : magnitude;
}

double RoundFloat(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  if (digits < 0) {
    // Exact: the value as a whole number of decimals is cut at that digit by hand.
    const std::string whole = FormatFloat(std::fabs(value), 'e', kMaxPrecision);
    const int exponent = std::atoi(whole.c_str() + whole.find('e') + 1);
    const int64_t kept = exponent + digits;  // digits after the first one
    if (kept < -1) return std::copysign(0.0, value);
    if (kept == -1) {
      // Between 0 and one unit of that digit: up only if above half of it.
      const bool above = whole.substr(0, whole.find('e')) > "5." + std::string(kMaxPrecision, '0');
      const double unit = std::strtod(("1e" + std::to_string(-digits)).c_str(), nullptr);
      return std::copysign(above ? unit : 0.0, value);
    }
    return ParseFloat(FormatFloat(value, 'e', static_cast<int>(kept))).value_or(value);
  }
  return ParseFloat(FormatFloat(value, 'f', static_cast<int>(digits))).value_or(value);
}

std::optional<int64_t> RoundInt(int64_t value, int64_t digits) {
  if (digits <= -19)
    return digits == -19 && Magnitude(value) > 5'000'000'000'000'000'000ULL
               ? std::nullopt
               : std::optional<int64_t>(0);
  uint64_t unit = 1;
  for (int64_t i = 0; i < -digits; ++i) unit *= 10;
  const uint64_t magnitude = Magnitude(value);
  uint64_t quotient = magnitude / unit;
  const uint64_t rest = magnitude % unit;
  if (rest > unit / 2 || (rest == unit / 2 && unit > 1 && quotient % 2 == 1)) ++quotient;
  uint64_t rounded = 0;
  if (__builtin_mul_overflow(quotient, unit, &rounded) || rounded > INT64_MAX) return std::nullopt;
  const auto result = static_cast<int64_t>(rounded);
  return value < 0 ? -result : result;
}

}  // namespace hearth::jinja
