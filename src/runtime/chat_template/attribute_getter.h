#pragma once
// The `attribute` argument of filters: 'author.name', 'pairs.0', or an index.

#include <optional>
#include <vector>

#include "runtime/chat_template/runtime.h"

namespace hearth::jinja {

class AttributeGetter {
 public:
  // Without `attribute` (null, undefined or none) values stand for themselves.
  static Result<AttributeGetter> Make(Runtime& rt, const Value* attribute);

  Result<Value> Get(Runtime& rt, Value item) const;
  // Get, and lower case for a string unless `case_sensitive`: what sorting and grouping compare.
  Result<Value> Key(Runtime& rt, const Value& item, bool case_sensitive) const;

 private:
  std::vector<Value> parts_;  // strings and integers
};

}  // namespace hearth::jinja
