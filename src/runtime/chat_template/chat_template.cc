#include "runtime/chat_template/chat_template.h"

#include <utility>

#include "runtime/chat_template/evaluator.h"
#include "runtime/chat_template/parser.h"

namespace hearth {

struct ChatTemplate::Program {
  jinja::Body body;
};

Result<ChatTemplate> ChatTemplate::Parse(std::string_view source,
                                         const ChatTemplateLimits& limits) {
  if (static_cast<int64_t>(source.size()) > limits.max_source_bytes) {
    return MakeError(ErrorCode::kResourceExhausted,
                     "the chat template has " + std::to_string(source.size()) +
                         " bytes, the limit is " + std::to_string(limits.max_source_bytes));
  }
  HEARTH_ASSIGN_OR_RETURN(jinja::Body body, jinja::Parse(source, limits.max_depth));
  ChatTemplate result;
  result.program_ = std::make_shared<const Program>(Program{std::move(body)});
  result.limits_ = limits;
  return result;
}

Result<jinja::Text> ChatTemplate::Render(const jinja::Object& context,
                                         std::function<int64_t()> now) const {
  jinja::Runtime runtime(limits_, std::move(now));
  jinja::Evaluator evaluator(runtime, context);
  return evaluator.Render(program_->body);
}

}  // namespace hearth
