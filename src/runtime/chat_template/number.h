#pragma once
// Python's text forms of numbers, and its readings of them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hearth::jinja {

// repr(float): the shortest digits that read back the same.
std::string FloatRepr(double value);

// "%.<precision>f", "e" or "g" of a float, with Python's two-digit exponents; `alternate` is
// printf's '#'.
// Requires: conversion is one of e f g, 0 <= precision <= kMaxPrecision.
inline constexpr int kMaxPrecision = 1000;
std::string FormatFloat(double value, char conversion, int precision, bool alternate = false);

// Digits of |value| in that base (2 to 16), lower case.
std::string FormatUnsigned(uint64_t value, unsigned base);
inline uint64_t Magnitude(int64_t value) {
  return value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

// int(text, base): blanks around it, a sign, underscores between digits, any script's digits; base
// 0 reads a prefix. nullopt if Python would raise ValueError.
struct ParsedInt {
  int64_t value = 0;
  bool overflow = false;  // an int for Python, but not of 64 bits
};
std::optional<ParsedInt> ParseInt(std::string_view text, int base);
// float(text)
std::optional<double> ParseFloat(std::string_view text);

// round(value, digits) of a float: correct for the exact decimal value, half to even.
double RoundFloat(double value, int64_t digits);
// round(value, digits) of an int with digits < 0; nullopt if the result does not fit.
std::optional<int64_t> RoundInt(int64_t value, int64_t digits);

}  // namespace hearth::jinja
