#pragma once
// Python's operators over template values. An operand they do not take is an error that reads as
// Python's.

#include <optional>

#include "runtime/chat_template/runtime.h"
#include "runtime/chat_template/value.h"

namespace hearth::jinja {

// A bool, int or float as a number.
struct Number {
  bool is_float = false;
  int64_t integer = 0;
  double real = 0;  // the value of both kinds
};
std::optional<Number> AsNumber(const Value& value);

bool Truthy(const Value& value);
// len()
Result<int64_t> Length(Runtime& rt, const Value& value);

enum class BinaryOp { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
Result<Value> Binary(Runtime& rt, BinaryOp op, const Value& left, const Value& right);
Result<Value> Negate(Runtime& rt, const Value& operand);
Result<Value> Positive(Runtime& rt, const Value& operand);

enum class CompareOp { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };
Result<bool> Compare(Runtime& rt, CompareOp op, const Value& left, const Value& right);
Result<bool> Equal(Runtime& rt, const Value& left, const Value& right);
// `item in container`
Result<bool> Contains(Runtime& rt, const Value& container, const Value& item);

// The entry of that key, or null. An unhashable key is an error.
Result<const Value*> Find(Runtime& rt, const Dict& dict, const Value& key);
bool IsHashable(const Value& value);
// Adds or replaces, as d[key] = value.
Status Insert(Runtime& rt, std::vector<std::pair<Value, Value>>& entries, const Value& key,
              Value value);

// A copy in Python's sorted() order of the keys, which is stable. Requires: one key per item.
Result<Array> Sorted(Runtime& rt, const Array& items, const Array& keys, bool reverse);

}  // namespace hearth::jinja
