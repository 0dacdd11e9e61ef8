// Jinja's tests: what may stand behind `is`.

#include "runtime/chat_template/bind.h"
#include "runtime/chat_template/filters.h"
#include "runtime/chat_template/iterate.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/repr.h"
#include "runtime/chat_template/text_ops.h"

namespace hearth::jinja {
namespace {

using Predicate = bool (*)(const Value& value);

template <Predicate predicate>
Result<bool> Is(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "test", arguments, {}));
  return predicate(input);
}

bool IsDefined(const Value& value) { return !value.is_undefined(); }
bool IsUndefined(const Value& value) { return value.is_undefined(); }
bool IsNone(const Value& value) { return value.is_none(); }
bool IsBoolean(const Value& value) { return value.boolean() != nullptr; }
bool IsTrue(const Value& value) { return value.boolean() != nullptr && *value.boolean(); }
bool IsFalse(const Value& value) { return value.boolean() != nullptr && !*value.boolean(); }
bool IsInteger(const Value& value) { return value.integer() != nullptr; }
bool IsFloat(const Value& value) { return value.real() != nullptr; }
bool IsNumber(const Value& value) { return AsNumber(value).has_value(); }
bool IsString(const Value& value) { return value.string() != nullptr; }
bool IsMapping(const Value& value) { return value.dict() != nullptr; }
bool IsSequence(const Value& value) {
  return value.is_undefined() || value.string() != nullptr || value.list() != nullptr ||
         value.dict() != nullptr || AsRange(value) != nullptr;
}
bool IsEscaped(const Value& value) { return value.string() != nullptr && value.string()->markup; }

template <bool (*predicate)(std::string_view)>
Result<bool> TextIs(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "test", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(const Text text, Str(rt, input));
  return predicate(text.view());
}

template <CompareOp op>
Result<bool> Compares(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "test", arguments, {"other"}, 1));
  return Compare(rt, op, input, *bound[0]);
}

// Python's identity: only small things can be told to be the same.
Result<bool> SameAs(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "sameas", arguments, {"other"}, 1));
  const Value& other = *bound[0];
  if (input.data().index() != other.data().index()) return false;
  if (input.object() != nullptr) return input.object() == other.object();
  if (input.list() != nullptr) return input.list() == other.list();
  if (input.dict() != nullptr) return input.dict() == other.dict();
  return Equal(rt, input, other);
}

Result<bool> Remainder(Runtime& rt, const Value& input, int64_t divisor, int64_t remainder) {
  HEARTH_ASSIGN_OR_RETURN(const Value rest, Binary(rt, BinaryOp::kModulo, input, Value(divisor)));
  return Equal(rt, rest, Value(remainder));
}
Result<bool> IsOdd(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "odd", arguments, {}));
  return Remainder(rt, input, 2, 1);
}
Result<bool> IsEven(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "even", arguments, {}));
  return Remainder(rt, input, 2, 0);
}
Result<bool> DivisibleBy(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "divisibleby", arguments, {"num"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Value rest, Binary(rt, BinaryOp::kModulo, input, *bound[0]));
  return Equal(rt, rest, Value(0));
}

Result<bool> NamesFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "filter", arguments, {}));
  return input.string() != nullptr && FindFilter(input.text().view()) != nullptr;
}
Result<bool> NamesTest(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "test", arguments, {}));
  return input.string() != nullptr && FindTest(input.text().view()) != nullptr;
}

constexpr Test kTests[] = {
    {"callable", Is<IsCallable>},
    {"defined", Is<IsDefined>},
    {"undefined", Is<IsUndefined>},
    {"none", Is<IsNone>},
    {"boolean", Is<IsBoolean>},
    {"true", Is<IsTrue>},
    {"false", Is<IsFalse>},
    {"integer", Is<IsInteger>},
    {"float", Is<IsFloat>},
    {"number", Is<IsNumber>},
    {"string", Is<IsString>},
    {"mapping", Is<IsMapping>},
    {"sequence", Is<IsSequence>},
    {"iterable", Is<Iterator::IsIterable>},
    {"escaped", Is<IsEscaped>},
    {"lower", TextIs<IsLowerText>},
    {"upper", TextIs<IsUpperText>},
    {"eq", Compares<CompareOp::kEqual>},
    {"==", Compares<CompareOp::kEqual>},
    {"equalto", Compares<CompareOp::kEqual>},
    {"ne", Compares<CompareOp::kNotEqual>},
    {"!=", Compares<CompareOp::kNotEqual>},
    {"lt", Compares<CompareOp::kLess>},
    {"<", Compares<CompareOp::kLess>},
    {"lessthan", Compares<CompareOp::kLess>},
    {"le", Compares<CompareOp::kLessEqual>},
    {"<=", Compares<CompareOp::kLessEqual>},
    {"gt", Compares<CompareOp::kGreater>},
    {">", Compares<CompareOp::kGreater>},
    {"greaterthan", Compares<CompareOp::kGreater>},
    {"ge", Compares<CompareOp::kGreaterEqual>},
    {">=", Compares<CompareOp::kGreaterEqual>},
    {"in", Compares<CompareOp::kIn>},
    {"sameas", SameAs},
    {"odd", IsOdd},
    {"even", IsEven},
    {"divisibleby", DivisibleBy},
    {"filter", NamesFilter},
    {"test", NamesTest},
};

}  // namespace

const Test* FindTest(std::string_view name) {
  for (const Test& test : kTests) {
    if (test.name == name) return &test;
  }
  return nullptr;
}

}  // namespace hearth::jinja
