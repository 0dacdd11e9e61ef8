#include "brain/chat_context.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;  // templates show the order of keys
using jinja::Array;
using jinja::None;
using jinja::Object;
using jinja::Value;

constexpr int kMaxDepth = 64;
constexpr std::array kReserved = {"messages", "tools", "bos_token", "eos_token"};

// Nothing when the value is nested too deeply.
std::optional<Value> FromJson(const Json& json, int depth = 0) {
  if (depth > kMaxDepth) return std::nullopt;
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return Value(json.get<double>());
      return Value(json.get<int64_t>());
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return Value::Input(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      Array array;
      for (const Json& item : json) {
        std::optional<Value> value = FromJson(item, depth + 1);
        if (!value) return std::nullopt;
        array.push_back(std::move(*value));
      }
      return Value(std::move(array));
    }
    case Json::value_t::object: {
      Object object;
      for (const auto& [key, item] : json.items()) {
        std::optional<Value> value = FromJson(item, depth + 1);
        if (!value) return std::nullopt;
        object.emplace_back(key, std::move(*value));
      }
      return Value(std::move(object));
    }
    default:
      return Value(None{});
  }
}

// Nothing for text that is not JSON.
std::optional<Json> Parse(const std::string& text) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

Result<Value> ConvertField(const Json& json, const std::string& field) {
  std::optional<Value> value = FromJson(json);
  if (!value) {
    return MakeError(ErrorCode::kInvalidArgument,
                     field + " is nested more than " + std::to_string(kMaxDepth) + " levels deep");
  }
  return *std::move(value);
}

Value ArgumentsOf(const ToolCall& call) {
  if (const std::optional<Json> json = Parse(call.arguments_json); json && json->is_object()) {
    if (std::optional<Value> value = FromJson(*json)) return *std::move(value);
  }
  return Value::Input(call.arguments_json);
}

Value FromMessage(const ChatMessage& message) {
  Object object;
  object.emplace_back("role", Value::Input(message.role));
  object.emplace_back("content", message.content ? Value::Input(*message.content) : Value(None{}));
  if (!message.name.empty()) object.emplace_back("name", Value::Input(message.name));
  if (!message.tool_call_id.empty()) {
    object.emplace_back("tool_call_id", Value::Input(message.tool_call_id));
  }
  // Templates ask whether the key is there, so an empty list would mislead them.
  if (!message.tool_calls.empty()) {
    Array calls;
    for (const ToolCall& call : message.tool_calls) {
      Object function = {{"name", Value::Input(call.name)}, {"arguments", ArgumentsOf(call)}};
      calls.push_back(Object{{"id", Value::Input(call.id)},
                             {"type", Value::Input("function")},
                             {"function", std::move(function)}});
    }
    object.emplace_back("tool_calls", std::move(calls));
  }
  return object;
}

void SetVariable(Object& context, const std::string& name, Value value) {
  const auto existing = std::ranges::find(context, name, &Object::value_type::first);
  if (existing != context.end()) {
    existing->second = std::move(value);
  } else {
    context.emplace_back(name, std::move(value));
  }
}

}  // namespace

Result<Object> BuildChatContext(const ChatPrompt& prompt) {
  Array messages;
  for (const ChatMessage& message : prompt.messages) messages.push_back(FromMessage(message));
  Object context = {{"messages", std::move(messages)},
                    {"tools", None{}},
                    {"documents", None{}},
                    {"add_generation_prompt", prompt.add_generation_prompt}};

  if (!prompt.tools_json.empty()) {
    const std::optional<Json> tools = Parse(prompt.tools_json);
    if (!tools || !tools->is_array()) {
      return MakeError(ErrorCode::kInvalidArgument, "tools must be a JSON array");
    }
    if (!tools->empty()) {
      HEARTH_ASSIGN_OR_RETURN(Value value, ConvertField(*tools, "tools"));
      SetVariable(context, "tools", std::move(value));
    }
  }
  if (!prompt.template_kwargs_json.empty()) {
    const std::optional<Json> kwargs = Parse(prompt.template_kwargs_json);
    if (!kwargs || !kwargs->is_object()) {
      return MakeError(ErrorCode::kInvalidArgument, "chat_template_kwargs must be a JSON object");
    }
    for (const auto& [name, item] : kwargs->items()) {
      if (std::ranges::find(kReserved, name) != kReserved.end()) {
        return MakeError(ErrorCode::kInvalidArgument,
                         "chat_template_kwargs must not set \"" + name + "\"");
      }
      HEARTH_ASSIGN_OR_RETURN(Value value, ConvertField(item, "chat_template_kwargs." + name));
      SetVariable(context, name, std::move(value));
    }
  }
  return context;
}

}  // namespace hearth
