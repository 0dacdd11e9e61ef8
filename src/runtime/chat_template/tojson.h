#pragma once
// The `tojson` filter as transformers defines it: Python's json.dumps, without HTML escaping.

#include <optional>

#include "runtime/chat_template/runtime.h"

namespace hearth::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<Text> indent;  // of one level; without it everything stands on one line
  std::optional<Text> item_separator, key_separator;
  bool sort_keys = false;
};

// Errors: a value that JSON cannot hold (undefined, a macro, ...).
Result<Value> ToJson(Runtime& rt, const Value& value, const JsonStyle& style);

}  // namespace hearth::jinja
