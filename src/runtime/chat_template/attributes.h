#pragma once
// value.name, value[key] and value[a:b:c], as Jinja's sandbox evaluates them.

#include <string_view>

#include "runtime/chat_template/runtime.h"

namespace hearth::jinja {

// value.name: a method or attribute first, then an item of a dict. What does not exist, and what
// the sandbox hides (names with two underscores, methods that would change a list or dict), is
// undefined. Errors: `value` is undefined itself.
Result<Value> GetAttribute(Runtime& rt, const Value& value, std::string_view name);

// value[key]: an item first, then an attribute.
Result<Value> GetItem(Runtime& rt, const Value& value, const Value& key);

// value[start:stop:step]; none stands for a bound that is not given.
Result<Value> GetSlice(Runtime& rt, const Value& value, const Value& start, const Value& stop,
                       const Value& step);

}  // namespace hearth::jinja
