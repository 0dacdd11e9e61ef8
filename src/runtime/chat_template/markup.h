#pragma once
// Escaping for HTML, as the filters `escape` and `safe` do it.

#include "runtime/chat_template/runtime.h"

namespace hearth::jinja {

// Appends `text`, with & < > ' " escaped unless `safe`.
void AppendEscapedUnless(bool safe, const Text& text, TextBuilder& builder);

}  // namespace hearth::jinja
