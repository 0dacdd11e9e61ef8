#pragma once
// Turns a chat request into the variables that a model's chat template reads, in the shape
// transformers' apply_chat_template gives them. Every string of a request is marked as input, so
// that text which looks like a special token stays text.

#include "base/result.h"
#include "brain/backend.h"
#include "runtime/chat_template/value.h"

namespace hearth {

// messages, tools and documents (None when there are none), add_generation_prompt and the
// template's own variables. Arguments of tool calls become objects where they parse as such,
// because templates print them with tojson; else they stay text. Errors: kInvalidArgument when
// tools_json is no JSON array, template_kwargs_json no JSON object, either is nested deeper than
// 64, or a template variable would replace messages, tools or a special token.
Result<jinja::Object> BuildChatContext(const ChatPrompt& prompt);

}  // namespace hearth
