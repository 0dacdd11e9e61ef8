#pragma once
// Tokens -> syntax tree, by recursive descent after Jinja's own grammar.

#include <string_view>

#include "base/result.h"
#include "runtime/chat_template/ast.h"

namespace hearth::jinja {

// Errors: kCorrupt with the line; kUnsupported for tags that reach other templates (include,
// import, extends) and the like, named; kResourceExhausted for what nests deeper than `max_depth`.
Result<Body> Parse(std::string_view source, int max_depth);

}  // namespace hearth::jinja
