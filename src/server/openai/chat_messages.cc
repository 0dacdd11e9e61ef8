#include <array>
#include <utility>

#include "server/openai/requests.h"

namespace hearth::openai {
namespace {

constexpr size_t kMaxMessages = 10'000;
constexpr size_t kMaxTools = 1024;
constexpr size_t kMaxFunctionName = 64;

bool IsRole(std::string_view role) {
  for (const char* known : {"system", "developer", "user", "assistant", "tool"}) {
    if (role == known) return true;
  }
  return false;
}

// A string, or an array of parts of text.
std::optional<std::string> ReadContent(FieldReader& message) {
  const Json* content = message.Find("content");
  if (content == nullptr) return std::nullopt;
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    message.Fail("content",
                 "'" + message.Path("content") + "' must be a string or an array of parts, not " +
                     std::string(DescribeType(*content)),
                 "invalid_type");
    return std::nullopt;
  }
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const Json& part = (*content)[i];
    const std::string path = message.Path("content") + "[" + std::to_string(i) + "]";
    if (!part.is_object()) {
      message.Fail(InvalidField(
          path, "'" + path + "' must be an object, not " + std::string(DescribeType(part)),
          "invalid_type"));
      return std::nullopt;
    }
    FieldReader fields(part, path);
    const std::string type = fields.String("type");
    if (type.empty()) {
      fields.FailMissing("type");
    } else if (type == "text") {
      if (fields.Find("text") == nullptr) fields.FailMissing("text");
      text += fields.String("text");
    } else if (type == "refusal") {
      text += fields.String("refusal");
    } else {
      fields.Fail("type",
                  "'" + fields.Path("type") + "' is \"" + type.substr(0, 64) +
                      "\", but this model reads text only",
                  "unsupported_value");
    }
    if (fields.failed()) {
      message.Fail(fields.error());
      return std::nullopt;
    }
  }
  return text;
}

std::vector<ToolCall> ReadToolCalls(FieldReader& message) {
  std::vector<ToolCall> out;
  const Json* calls = message.Array("tool_calls");
  if (calls == nullptr) return out;
  for (size_t i = 0; i < calls->size(); ++i) {
    const std::string path = message.Path("tool_calls") + "[" + std::to_string(i) + "]";
    FieldReader fields((*calls)[i], path);
    ToolCall call;
    call.id = fields.String("id");
    const Json* function = fields.Object("function");
    if (function == nullptr) {
      fields.FailMissing("function");
    } else {
      FieldReader function_fields(*function, fields.Path("function"));
      call.name = function_fields.String("name");
      if (call.name.empty()) function_fields.FailMissing("name");
      // Some clients send the object itself where the API has its JSON.
      const Json* arguments = function_fields.Find("arguments");
      if (arguments != nullptr && arguments->is_object()) {
        call.arguments_json = arguments->dump(-1, ' ', false, Json::error_handler_t::replace);
      } else {
        call.arguments_json = function_fields.String("arguments", "{}");
      }
      if (function_fields.failed()) fields.Fail(function_fields.error());
    }
    if (fields.failed()) {
      message.Fail(fields.error());
      return out;
    }
    out.push_back(std::move(call));
  }
  return out;
}

ChatMessage ReadMessage(FieldReader& fields) {
  ChatMessage message;
  message.role = fields.String("role");
  if (message.role.empty()) {
    fields.FailMissing("role");
  } else if (!IsRole(message.role)) {
    fields.Fail("role", "'" + fields.Path("role") + "' is \"" + message.role.substr(0, 64) +
                            "\"; it must be system, developer, user, assistant or tool");
  }
  message.content = ReadContent(fields);
  message.name = fields.String("name");
  message.tool_call_id = fields.String("tool_call_id");
  if (message.role == "assistant") message.tool_calls = ReadToolCalls(fields);
  if (!message.content && message.tool_calls.empty() && !fields.failed()) {
    if (message.role == "assistant") {
      message.content = "";
    } else {
      fields.FailMissing("content");
    }
  }
  return message;
}

// The tools' JSON as the client sent it, once their shape is known to be right.
std::string ReadTools(FieldReader& reader) {
  const Json* tools = reader.Array("tools");
  if (tools == nullptr || tools->empty()) return "";
  if (tools->size() > kMaxTools) {
    reader.Fail("tools", "'tools' holds more than " + std::to_string(kMaxTools) + " tools");
    return "";
  }
  for (size_t i = 0; i < tools->size(); ++i) {
    FieldReader fields((*tools)[i], reader.Path("tools") + "[" + std::to_string(i) + "]");
    if (const std::string type = fields.String("type"); type != "function") {
      fields.Fail("type", "'" + fields.Path("type") + "' must be \"function\"",
                  "unsupported_value");
    }
    if (const Json* function = fields.Object("function")) {
      FieldReader function_fields(*function, fields.Path("function"));
      const std::string name = function_fields.String("name");
      if (name.empty()) function_fields.FailMissing("name");
      if (name.size() > kMaxFunctionName) {
        function_fields.Fail("name", "a function's name may have up to 64 characters");
      }
      function_fields.Object("parameters");
      function_fields.String("description");
      if (function_fields.failed()) fields.Fail(function_fields.error());
    } else {
      fields.FailMissing("function");
    }
    if (fields.failed()) {
      reader.Fail(fields.error());
      return "";
    }
  }
  return tools->dump(-1, ' ', false, Json::error_handler_t::replace);
}

// False: the model shall not see the tools.
bool ReadToolChoice(FieldReader& reader) {
  const Json* choice = reader.Find("tool_choice");
  if (choice == nullptr || *choice == "auto") return true;
  if (*choice == "none") return false;
  if (choice->is_object() || *choice == "required") {
    reader.Fail("tool_choice",
                "'tool_choice' can be \"auto\" or \"none\"; forcing a tool call is not supported "
                "by this server",
                "unsupported_value");
  } else {
    reader.Fail("tool_choice",
                "'tool_choice' must be \"auto\", \"none\", \"required\" or an object",
                choice->is_string() ? "invalid_value" : "invalid_type");
  }
  return false;
}

}  // namespace

ChatPrompt ReadChatPrompt(FieldReader& reader) {
  ChatPrompt prompt;
  const Json* messages = reader.Array("messages");
  if (messages == nullptr) {
    reader.FailMissing("messages");
    return prompt;
  }
  if (messages->empty()) reader.Fail("messages", "'messages' must hold at least one message");
  if (messages->size() > kMaxMessages) {
    reader.Fail("messages",
                "'messages' holds more than " + std::to_string(kMaxMessages) + " messages");
  }
  if (reader.failed()) return prompt;
  for (size_t i = 0; i < messages->size(); ++i) {
    const Json& message = (*messages)[i];
    FieldReader fields(message, reader.Path("messages") + "[" + std::to_string(i) + "]");
    if (!message.is_object()) {
      const std::string path = reader.Path("messages") + "[" + std::to_string(i) + "]";
      reader.Fail(InvalidField(
          path, "'" + path + "' must be an object, not " + std::string(DescribeType(message)),
          "invalid_type"));
      return prompt;
    }
    prompt.messages.push_back(ReadMessage(fields));
    if (fields.failed()) {
      reader.Fail(fields.error());
      return prompt;
    }
  }
  std::string tools = ReadTools(reader);
  if (ReadToolChoice(reader)) prompt.tools_json = std::move(tools);
  if (const Json* kwargs = reader.Object("chat_template_kwargs")) {
    prompt.template_kwargs_json = kwargs->dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  prompt.add_generation_prompt = reader.Bool("add_generation_prompt", true);
  return prompt;
}

}  // namespace hearth::openai
