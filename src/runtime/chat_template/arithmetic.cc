#include <cmath>

#include "runtime/chat_template/format.h"
#include "runtime/chat_template/markup.h"
#include "runtime/chat_template/objects.h"
#include "runtime/chat_template/operators.h"

namespace hearth::jinja {
namespace {

const char* Symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSubtract:
      return "-";
    case BinaryOp::kMultiply:
      return "*";
    case BinaryOp::kDivide:
      return "/";
    case BinaryOp::kFloorDivide:
      return "//";
    case BinaryOp::kModulo:
      return "%";
    case BinaryOp::kPower:
      return "** or pow()";
  }
  return "?";
}

tl::unexpected<Error> WrongOperands(const Runtime& rt, BinaryOp op, const Value& left,
                                    const Value& right) {
  return rt.Fail("unsupported operand type(s) for " + std::string(Symbol(op)) + ": '" +
                 std::string(TypeName(left)) + "' and '" + std::string(TypeName(right)) + "'");
}

// Python's integers have no limit; ours end at 64 bits, cleanly.
tl::unexpected<Error> Overflow(const Runtime& rt) {
  return rt.Exhausted("an integer does not fit 64 bits");
}

Result<Value> IntegerPower(Runtime& rt, int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (true) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return Overflow(rt);
    exponent >>= 1;
    if (exponent == 0) return Value(result);
    if (__builtin_mul_overflow(base, base, &base)) return Overflow(rt);
  }
}

Result<Value> Integers(Runtime& rt, BinaryOp op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &result)) return Overflow(rt);
      return Value(result);
    case BinaryOp::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) return Overflow(rt);
      return Value(result);
    case BinaryOp::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) return Overflow(rt);
      return Value(result);
    case BinaryOp::kDivide:
      if (b == 0) return rt.Fail("division by zero");
      // long double holds every int64, so that only the quotient is rounded.
      return Value(static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case BinaryOp::kFloorDivide:
      if (b == 0) return rt.Fail("integer division or modulo by zero");
      if (a == INT64_MIN && b == -1) return Overflow(rt);
      result = a / b;
      return Value(a % b != 0 && (a < 0) != (b < 0) ? result - 1 : result);
    case BinaryOp::kModulo:
      if (b == 0) return rt.Fail("integer modulo by zero");
      if (b == -1) return Value(0);
      result = a % b;
      return Value(result != 0 && (result < 0) != (b < 0) ? result + b : result);
    case BinaryOp::kPower:
      break;
  }
  if (b >= 0) return IntegerPower(rt, a, b);
  if (a == 0) return rt.Fail("0.0 cannot be raised to a negative power");
  return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
}

// The quotient and remainder of Python: the remainder has the divisor's sign.
double FloatModulo(double a, double b) {
  double remainder = std::fmod(a, b);
  if (remainder == 0) return std::copysign(0.0, b);
  if ((b < 0) != (remainder < 0)) remainder += b;
  return remainder;
}

double FloatFloorDivide(double a, double b) {
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0 && (b < 0) != (remainder < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Result<Value> Floats(Runtime& rt, BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value(a + b);
    case BinaryOp::kSubtract:
      return Value(a - b);
    case BinaryOp::kMultiply:
      return Value(a * b);
    case BinaryOp::kDivide:
      if (b == 0) return rt.Fail("float division by zero");
      return Value(a / b);
    case BinaryOp::kFloorDivide:
      if (b == 0) return rt.Fail("float floor division by zero");
      return Value(FloatFloorDivide(a, b));
    case BinaryOp::kModulo:
      if (b == 0) return rt.Fail("float modulo");
      return Value(FloatModulo(a, b));
    case BinaryOp::kPower:
      break;
  }
  if (a == 0 && b < 0) return rt.Fail("0.0 cannot be raised to a negative power");
  if (a < 0 && std::isfinite(b) && b != std::floor(b)) {
    return rt.Unsupported("a complex number as the result of **");
  }
  const double power = std::pow(a, b);
  if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
    return rt.Fail("(34, 'Numerical result out of range')");
  }
  return Value(power);
}

List::Kind PlainKind(List::Kind kind) {
  return kind == List::Kind::kGroup ? List::Kind::kTuple : kind;
}

Result<Value> RepeatList(Runtime& rt, const List& list, int64_t count) {
  const List::Kind kind = PlainKind(list.kind);
  if (count <= 0 || list.items.empty()) return rt.NewList({}, kind);
  size_t total = 0;
  if (__builtin_mul_overflow(list.items.size(), static_cast<size_t>(count), &total) ||
      total > static_cast<size_t>(rt.limits().max_allocated_bytes) / sizeof(Value)) {
    return rt.Exhausted("a list of " + std::to_string(list.items.size()) + " items times " +
                        std::to_string(count) + " is too long");
  }
  HEARTH_RETURN_IF_ERROR(rt.Work(total * sizeof(Value)));
  Array items;
  items.reserve(total);
  for (int64_t i = 0; i < count; ++i) {
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return rt.NewList(std::move(items), kind);
}

Result<Value> Repeat(Runtime& rt, const Value& sequence, int64_t count) {
  if (sequence.list() != nullptr) return RepeatList(rt, *sequence.list(), count);
  TextBuilder builder(rt);
  builder.AppendRepeated(sequence.text(), count);
  return builder.FinishValue(sequence.string()->markup);
}

Result<Value> Concatenate(Runtime& rt, const String& left, const String& right) {
  TextBuilder builder(rt);
  const bool markup = left.markup || right.markup;
  AppendEscapedUnless(!markup || left.markup, left.text, builder);
  AppendEscapedUnless(!markup || right.markup, right.text, builder);
  return builder.FinishValue(markup);
}

Result<Value> ConcatenateLists(Runtime& rt, const List& left, const List& right) {
  HEARTH_RETURN_IF_ERROR(rt.Work((left.items.size() + right.items.size()) * sizeof(Value)));
  Array items = left.items;
  items.insert(items.end(), right.items.begin(), right.items.end());
  return rt.NewList(std::move(items), PlainKind(left.kind));
}

bool IsSequence(const Value& value) { return value.string() != nullptr || value.list() != nullptr; }

// A bool or an int.
std::optional<int64_t> AsInteger(const Value& value) {
  const auto number = AsNumber(value);
  if (!number || number->is_float) return std::nullopt;
  return number->integer;
}

}  // namespace

Result<Value> Binary(Runtime& rt, BinaryOp op, const Value& left, const Value& right) {
  const auto a = AsNumber(left);
  const auto b = AsNumber(right);
  if (a && b) {
    if (a->is_float || b->is_float) return Floats(rt, op, a->real, b->real);
    return Integers(rt, op, a->integer, b->integer);
  }
  if (op == BinaryOp::kModulo && left.string() != nullptr) return FormatPercent(rt, left, right);
  if (left.is_undefined()) return UndefinedError(rt, left);
  if (right.is_undefined()) return UndefinedError(rt, right);
  if (op == BinaryOp::kAdd) {
    if (left.string() != nullptr && right.string() != nullptr) {
      return Concatenate(rt, *left.string(), *right.string());
    }
    if (left.string() != nullptr) {
      return rt.Fail("can only concatenate str (not \"" + std::string(TypeName(right)) +
                     "\") to str");
    }
    const List* x = left.list();
    const List* y = right.list();
    if (x != nullptr && y != nullptr &&
        (x->kind == List::Kind::kList) == (y->kind == List::Kind::kList)) {
      return ConcatenateLists(rt, *x, *y);
    }
  }
  if (op == BinaryOp::kMultiply) {
    if (const auto count = AsInteger(right); count && IsSequence(left)) {
      return Repeat(rt, left, *count);
    }
    if (const auto count = AsInteger(left); count && IsSequence(right)) {
      return Repeat(rt, right, *count);
    }
  }
  return WrongOperands(rt, op, left, right);
}

Result<Value> Negate(Runtime& rt, const Value& operand) {
  if (operand.is_undefined()) return UndefinedError(rt, operand);
  const auto number = AsNumber(operand);
  if (!number) {
    return rt.Fail("bad operand type for unary -: '" + std::string(TypeName(operand)) + "'");
  }
  if (number->is_float) return Value(-number->real);
  if (number->integer == INT64_MIN) return Overflow(rt);
  return Value(-number->integer);
}

Result<Value> Positive(Runtime& rt, const Value& operand) {
  if (operand.is_undefined()) return UndefinedError(rt, operand);
  const auto number = AsNumber(operand);
  if (!number) {
    return rt.Fail("bad operand type for unary +: '" + std::string(TypeName(operand)) + "'");
  }
  return number->is_float ? Value(number->real) : Value(number->integer);
}

}  // namespace hearth::jinja
