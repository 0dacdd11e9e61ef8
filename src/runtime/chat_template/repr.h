#pragma once
// str() and repr() of Python.

#include "runtime/chat_template/runtime.h"

namespace hearth::jinja {

// What {{ value }} prints: a string as it is, nothing if undefined, anything else as its repr().
Status AppendStr(Runtime& rt, const Value& value, TextBuilder& builder);
Status AppendRepr(Runtime& rt, const Value& value, TextBuilder& builder);

// A string in quotes with Python's escapes; with `ascii` everything beyond ASCII is escaped as
// ascii() does it.
void AppendStringRepr(const Text& text, bool ascii, TextBuilder& builder);

Result<Text> Str(Runtime& rt, const Value& value);
Result<Text> Repr(Runtime& rt, const Value& value);

}  // namespace hearth::jinja
