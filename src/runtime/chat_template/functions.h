#pragma once
// Global functions: range, dict, namespace, cycler, joiner, and transformers' raise_exception and
// strftime_now.

#include <string_view>

#include "runtime/chat_template/objects.h"

namespace hearth::jinja {

struct GlobalFunction {
  std::string_view name;
  FunctionFn fn = nullptr;  // null: Jinja has it, we do not
};
// The function of that name, or null.
const GlobalFunction* FindFunction(std::string_view name);

}  // namespace hearth::jinja
