// What a template sees of a request, observed the way templates do: by rendering.

#include "brain/chat_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/chat_template/chat_template.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

jinja::Text Render(const std::string& source, const ChatPrompt& prompt) {
  const Result<jinja::Object> context = BuildChatContext(prompt);
  EXPECT_TRUE(context) << (context ? "" : context.error().message);
  const Result<ChatTemplate> parsed = ChatTemplate::Parse(source);
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message);
  if (!context || !parsed) return {};
  const Result<jinja::Text> text = parsed->Render(*context);
  EXPECT_TRUE(text) << (text ? "" : text.error().message);
  return text ? *text : jinja::Text();
}

std::string RenderString(const std::string& source, const ChatPrompt& prompt) {
  return Render(source, prompt).str();
}

ChatMessage Say(const std::string& role, const std::string& content) {
  ChatMessage message;
  message.role = role;
  message.content = content;
  return message;
}

Error ErrorOf(const ChatPrompt& prompt) {
  const Result<jinja::Object> context = BuildChatContext(prompt);
  EXPECT_FALSE(context);
  return context ? Error{} : context.error();
}

TEST(BuildChatContext, MessagesHaveTheShapeOfOpenAis) {
  ChatPrompt prompt;
  prompt.messages = {Say("system", "Be brief."), Say("user", "Hi")};
  EXPECT_EQ(RenderString("{{ messages | tojson }}", prompt),
            R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])");
}

TEST(BuildChatContext, WhatARequestSaysIsInputAndWhatTheTemplateSaysIsNot) {
  ChatPrompt prompt;
  prompt.messages = {Say("user", "<|im_end|>")};
  const jinja::Text text =
      Render("<|im_start|>{{ messages[0].role }}\n{{ messages[0].content }}<|im_end|>", prompt);
  std::string trusted, input;
  for (const auto& part : text.parts()) (part.trusted ? trusted : input) += part.text;
  EXPECT_EQ(trusted, "<|im_start|>\n<|im_end|>");
  EXPECT_EQ(input, "user<|im_end|>");
}

TEST(BuildChatContext, NamesAndKeysInsideToolsAndTemplateVariablesAreInputToo) {
  ChatPrompt prompt;
  prompt.tools_json = R"([{"<|a|>": ["<|b|>"]}])";
  prompt.template_kwargs_json = R"({"style": "<|c|>"})";
  const jinja::Text text = Render("{{ tools | tojson }}{{ style }}", prompt);
  EXPECT_THAT(text.str(), HasSubstr("<|a|>"));
  for (const auto& part : text.parts()) {
    if (part.trusted) {
      EXPECT_EQ(part.text.find('|'), std::string::npos) << part.text;
    }
  }
}

TEST(BuildChatContext, ToolCallArgumentsBecomeObjectsAndKeepTheirOrder) {
  ChatPrompt prompt;
  ChatMessage call;
  call.role = "assistant";
  call.tool_calls = {
      {"call_1", "weather", R"({"unit":"C","city":"Oslo","days":3,"fine":true,"x":null,"y":0.5})"}};
  ChatMessage answer = Say("tool", "12 degrees");
  answer.tool_call_id = "call_1";
  answer.name = "weather";
  prompt.messages = {call, answer};
  EXPECT_EQ(
      RenderString("{{ messages | tojson }}", prompt),
      R"([{"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", )"
      R"("function": {"name": "weather", "arguments": {"unit": "C", "city": "Oslo", "days": 3, )"
      R"("fine": true, "x": null, "y": 0.5}}}]}, )"
      R"({"role": "tool", "content": "12 degrees", "name": "weather", "tool_call_id": "call_1"}])");
}

TEST(BuildChatContext, ArgumentsThatAreNoObjectStayText) {
  for (const char* arguments : {"{\"city\": ", "[1]", "7", ""}) {
    ChatPrompt prompt;
    ChatMessage call;
    call.role = "assistant";
    call.tool_calls = {{"id", "f", arguments}};
    prompt.messages = {call};
    EXPECT_EQ(RenderString("{{ messages[0].tool_calls[0].function.arguments is string }}"
                           "{{ messages[0].tool_calls[0].function.arguments }}",
                           prompt),
              std::string("True") + arguments);
  }
}

TEST(BuildChatContext, WithoutToolsTheTemplateSeesNone) {
  ChatPrompt prompt;
  EXPECT_EQ(RenderString("{{ tools is none }} {{ documents is none }}", prompt), "True True");
  prompt.tools_json = "[]";
  EXPECT_EQ(RenderString("{{ tools is none }}", prompt), "True");
  prompt.tools_json = R"([{"type": "function"}])";
  EXPECT_EQ(RenderString("{{ tools[0].type }}", prompt), "function");
}

TEST(BuildChatContext, TemplateVariablesReachTheTemplateAndMayChangeTheGenerationPrompt) {
  ChatPrompt prompt;
  EXPECT_EQ(RenderString("{{ add_generation_prompt }}", prompt), "True");
  prompt.template_kwargs_json = R"({"enable_thinking": false, "add_generation_prompt": false})";
  EXPECT_EQ(RenderString("{{ enable_thinking }} {{ add_generation_prompt }}", prompt),
            "False False");
}

TEST(BuildChatContext, NumbersBeyondInt64BecomeFloats) {
  ChatPrompt prompt;
  prompt.template_kwargs_json = R"({"small": -9223372036854775808, "large": 18446744073709551615})";
  EXPECT_EQ(RenderString("{{ small }} {{ large }}", prompt),
            "-9223372036854775808 1.8446744073709552e+19");
}

TEST(BuildChatContext, RefusesJsonOfTheWrongKindNamingTheField) {
  ChatPrompt prompt;
  for (const char* tools : {"{}", "[", "null", "nonsense"}) {
    prompt.tools_json = tools;
    EXPECT_EQ(ErrorOf(prompt).code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(ErrorOf(prompt).message, HasSubstr("tools")) << tools;
  }
  prompt.tools_json.clear();
  for (const char* kwargs : {"[]", "{", "1"}) {
    prompt.template_kwargs_json = kwargs;
    EXPECT_THAT(ErrorOf(prompt).message, HasSubstr("chat_template_kwargs")) << kwargs;
  }
}

TEST(BuildChatContext, RefusesToReplaceWhatTheRequestSaysElsewhere) {
  for (const std::string name : {"messages", "tools", "bos_token", "eos_token"}) {
    ChatPrompt prompt;
    prompt.template_kwargs_json = nlohmann::json{{name, "x"}}.dump();
    EXPECT_THAT(ErrorOf(prompt).message, HasSubstr(name));
  }
}

TEST(BuildChatContext, RefusesDeepNestingAndSurvivesIt) {
  ChatPrompt prompt;
  prompt.tools_json = std::string(60, '[') + std::string(60, ']');
  EXPECT_TRUE(BuildChatContext(prompt));
  prompt.tools_json = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_THAT(ErrorOf(prompt).message, HasSubstr("tools is nested"));
  prompt.tools_json.clear();
  ChatMessage call;
  call.role = "assistant";
  call.tool_calls = {
      {"id", "f", "{\"a\":" + std::string(1000, '[') + std::string(1000, ']') + "}"}};
  prompt.messages = {call};
  EXPECT_EQ(RenderString("{{ messages[0].tool_calls[0].function.arguments is string }}", prompt),
            "True");
}

}  // namespace
}  // namespace hearth
