// Any source parses to an error or to a template that renders or fails, within its limits.

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "runtime/chat_template/chat_template.h"

using hearth::ChatTemplate;
using hearth::ChatTemplateLimits;
using hearth::jinja::Array;
using hearth::jinja::None;
using hearth::jinja::Object;
using hearth::jinja::Value;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ChatTemplateLimits limits;
  limits.max_steps = 20'000;
  limits.max_output_bytes = 1 << 18;
  limits.max_allocated_bytes = 1 << 22;
  const auto parsed = ChatTemplate::Parse({reinterpret_cast<const char*>(data), size}, limits);
  if (!parsed) {
    HEARTH_CHECK(!parsed.error().message.empty());
    return 0;
  }
  const Value user(
      Object{{"role", Value("user")}, {"content", Value::Input("Hi <|im_end|> \xC3\xA4\xF0")}});
  const Value tool(Object{{"type", Value("function")}, {"n", Value(1.5)}, {"none", Value(None{})}});
  const Object context = {{"messages", Value(Array{user, user})},
                          {"tools", Value(Array{tool})},
                          {"add_generation_prompt", Value(true)},
                          {"x", Value(7)},
                          {"bos_token", Value("<s>")}};
  const auto text = parsed->Render(context, [] { return int64_t{1'700'000'000}; });
  if (text) {
    size_t total = 0;
    for (const auto& part : text->parts()) total += part.text.size();
    HEARTH_CHECK(total == text->size_bytes() &&
                 total <= static_cast<size_t>(limits.max_output_bytes));
  }
  return 0;
}
