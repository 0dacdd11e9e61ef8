#pragma once
// Renders the chat template (Jinja) that a model ships in its GGUF. A template is hostile input
// too: parsing and evaluation are bounded in steps, nesting depth and output size. Reference
// behaviour: transformers' apply_chat_template (jinja2 3.1, ImmutableSandboxedEnvironment,
// trim_blocks, lstrip_blocks, loopcontrols extension).
// Threads: immutable after Parse; Render is safe from many threads.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/chat_template/value.h"

namespace hearth {

struct ChatTemplateLimits {
  int64_t max_source_bytes = 1 << 20;
  int64_t max_steps = 2'000'000;  // evaluated nodes
  int max_depth = 100;            // of syntax, calls and values
  int64_t max_output_bytes = 16 << 20;
  int64_t max_allocated_bytes = 256 << 20;  // of all values made while rendering
};

class ChatTemplate {
 public:
  // Errors: kCorrupt with line number for a syntax error, kUnsupported for Jinja we do not evaluate
  // (named), kResourceExhausted for a limit.
  static Result<ChatTemplate> Parse(std::string_view source, const ChatTemplateLimits& limits = {});

  // `context` holds the variables (messages, tools, add_generation_prompt, bos_token, ...). `now`
  // is what strftime_now reads, in seconds since the epoch, local time.
  // Errors: kInvalidArgument with the text of raise_exception, kResourceExhausted for a limit,
  // kCorrupt for a run-time fault of the template.
  Result<jinja::Text> Render(const jinja::Object& context, std::function<int64_t()> now = {}) const;

  struct Program;

 private:
  std::shared_ptr<const Program> program_;
  ChatTemplateLimits limits_;
};

}  // namespace hearth
