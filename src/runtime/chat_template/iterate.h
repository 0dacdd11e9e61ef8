#pragma once
// iter() and next() of Python over template values.

#include <cstddef>
#include <optional>

#include "runtime/chat_template/runtime.h"
#include "runtime/chat_template/value.h"

namespace hearth::jinja {

class Iterator {
 public:
  // Over the items of a list, the keys of a dict, the characters of a string, ...; nothing if
  // undefined.
  // Errors: a value that Python does not iterate over.
  static Result<Iterator> Over(Runtime& rt, const Value& source);
  static bool IsIterable(const Value& value);

  // Writes the next item and returns true, or returns false at the end.
  Result<bool> Next(Runtime& rt, Value* item);

  // How many items there are in all, where Python's len() knows it without counting (and for
  // strings).
  std::optional<int64_t> length() const;
  // The same from the last to the first. Requires: length().
  Result<bool> NextBackwards(Runtime& rt, Value* item);

 private:
  explicit Iterator(Value source) : source_(std::move(source)) {}
  Result<Value> At(Runtime& rt, int64_t index) const;

  Value source_;
  int64_t position_ = 0;  // of the next item; for a string its byte
};

// All items of an iterable.
Result<Array> Collect(Runtime& rt, const Value& source);

}  // namespace hearth::jinja
