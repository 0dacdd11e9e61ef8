#pragma once
// The methods that Python's built-in types have: which exist, which are implemented, and which
// would change their object.

#include <span>
#include <string_view>

#include "runtime/chat_template/objects.h"

namespace hearth::jinja {

struct MethodEntry {
  std::string_view name;
  MethodFn fn = nullptr;            // null: Python has it, we do not; calling it says so
  bool changes_its_object = false;  // the sandbox hides it
};

// The method of that name of the value's type, or null.
const MethodEntry* FindMethod(const Value& value, std::string_view name);

// string_methods.cc
std::span<const MethodEntry> StringMethods();

}  // namespace hearth::jinja
