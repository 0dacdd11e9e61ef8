// Filters that make numbers.

#include <cmath>

#include "runtime/chat_template/bind.h"
#include "runtime/chat_template/filters.h"
#include "runtime/chat_template/number.h"
#include "runtime/chat_template/operators.h"

namespace hearth::jinja {
namespace {

tl::unexpected<Error> Overflow(const Runtime& rt) {
  return rt.Exhausted("an integer does not fit 64 bits");
}

// int() of a finite float.
Result<Value> Truncated(Runtime& rt, double real) {
  const double whole = std::trunc(real);
  if (!(whole >= -0x1p63 && whole < 0x1p63)) return Overflow(rt);
  return Value(static_cast<int64_t>(whole));
}

Result<Value> Int(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "int", arguments, {"default", "base"}));
  if (input.is_undefined()) return UndefinedError(rt, input);
  const Value fallback = bound[0] == nullptr ? Value(0) : *bound[0];
  HEARTH_ASSIGN_OR_RETURN(const int64_t base, bound.IntegerOr(rt, 1, 10));
  if (base != 0 && (base < 2 || base > 36)) return fallback;
  if (const auto number = AsNumber(input)) {
    if (!number->is_float) return Value(number->integer);
    if (std::isnan(number->real)) return fallback;
    if (std::isinf(number->real)) return rt.Fail("cannot convert float infinity to integer");
    return Truncated(rt, number->real);
  }
  if (input.string() == nullptr) return fallback;
  if (const auto parsed = ParseInt(input.text().view(), static_cast<int>(base))) {
    if (parsed->overflow) return Overflow(rt);
    return Value(parsed->value);
  }
  const auto real = ParseFloat(input.text().view());
  if (!real || !std::isfinite(*real)) return fallback;
  return Truncated(rt, *real);
}

Result<Value> Float(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "float", arguments, {"default"}));
  if (input.is_undefined()) return UndefinedError(rt, input);
  if (const auto number = AsNumber(input)) return Value(number->real);
  if (input.string() != nullptr) {
    if (const auto real = ParseFloat(input.text().view())) return Value(*real);
  }
  return bound[0] == nullptr ? Value(0.0) : *bound[0];
}

Result<Value> Abs(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "abs", arguments, {}));
  const auto number = AsNumber(input);
  if (!number) return rt.Fail("bad operand type for abs(): '" + std::string(TypeName(input)) + "'");
  if (number->is_float) return Value(std::fabs(number->real));
  if (number->integer >= 0) return Value(number->integer);
  return Negate(rt, input);
}

// The methods ceil and floor: func(value * 10**precision) / 10**precision
Result<Value> RoundBy(Runtime& rt, const Value& input, int64_t precision, double (*func)(double)) {
  HEARTH_ASSIGN_OR_RETURN(const Value unit,
                          Binary(rt, BinaryOp::kPower, Value(10), Value(precision)));
  HEARTH_ASSIGN_OR_RETURN(const Value scaled, Binary(rt, BinaryOp::kMultiply, input, unit));
  const auto number = AsNumber(scaled);
  Value whole = scaled;
  if (number->is_float) {
    if (!std::isfinite(number->real))
      return rt.Fail("cannot convert float infinity or NaN to integer");
    HEARTH_ASSIGN_OR_RETURN(whole, Truncated(rt, func(number->real)));
  }
  return Binary(rt, BinaryOp::kDivide, whole, unit);
}

Result<Value> Round(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "round", arguments, {"precision", "method"}));
  HEARTH_ASSIGN_OR_RETURN(const int64_t precision, bound.IntegerOr(rt, 0, 0));
  HEARTH_ASSIGN_OR_RETURN(const Text* given, bound.TextOrNull(rt, 1));
  const std::string_view method = given == nullptr ? "common" : given->view();
  if (method != "common" && method != "ceil" && method != "floor") {
    return rt.Fail("method must be common, ceil or floor");
  }
  if (input.is_undefined()) return UndefinedError(rt, input);
  const auto number = AsNumber(input);
  if (!number) {
    return rt.Fail("type " + std::string(TypeName(input)) + " doesn't define __round__ method");
  }
  if (method == "ceil") return RoundBy(rt, input, precision, std::ceil);
  if (method == "floor") return RoundBy(rt, input, precision, std::floor);
  if (number->is_float) return Value(RoundFloat(number->real, precision));
  if (precision >= 0) return Value(number->integer);
  const auto rounded = RoundInt(number->integer, precision);
  if (!rounded) return Overflow(rt);
  return Value(*rounded);
}

Result<Value> LengthFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "length", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(const int64_t length, Length(rt, input));
  return Value(length);
}

constexpr Filter kNumberFilters[] = {
    {"abs", Abs}, {"count", LengthFilter},  {"float", Float},
    {"int", Int}, {"length", LengthFilter}, {"round", Round},
};

}  // namespace

std::span<const Filter> NumberFilters() { return kNumberFilters; }

}  // namespace hearth::jinja
