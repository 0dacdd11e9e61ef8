#include "apps/hearth/conversation.h"

#include <span>
#include <utility>

#include "apps/hearth/json_output.h"
#include "apps/hearth/terminal.h"
#include "base/atomic_file.h"

namespace hearth {

void Conversation::AddUser(std::string text) {
  turns_.push_back({.role = "user", .content = std::move(text)});
}
void Conversation::AddAssistant(std::string text) {
  turns_.push_back({.role = "assistant", .content = std::move(text)});
}

bool Conversation::RewindToLastUser() {
  size_t size = turns_.size();
  while (size > 0 && turns_[size - 1].role != "user") --size;
  if (size == 0) return false;
  turns_.resize(size);
  return true;
}

void Conversation::DropLast() {
  if (!turns_.empty()) turns_.pop_back();
}

ChatPrompt Conversation::Prompt() const {
  ChatPrompt prompt;
  if (!system_.empty()) prompt.messages.push_back({.role = "system", .content = system_});
  prompt.messages.insert(prompt.messages.end(), turns_.begin(), turns_.end());
  return prompt;
}

std::string Conversation::ToJson() const {
  Json messages = Json::array();
  for (const ChatMessage& message : turns_)
    messages.push_back({{"role", message.role}, {"content", message.content.value_or("")}});
  return ToJsonText({{"system", system_}, {"messages", std::move(messages)}}, /*indent=*/2) + "\n";
}

Result<Conversation> Conversation::FromJson(const std::string& text) {
  const auto bad = [](const std::string& what) {
    return MakeError(ErrorCode::kCorrupt, "no saved conversation: " + what);
  };
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return bad("it is not JSON");
  if (!json.is_object() || !json.contains("messages") || !json["messages"].is_array())
    return bad("it has no list of messages");
  Conversation conversation;
  if (json.contains("system")) {
    if (!json["system"].is_string()) return bad("its system prompt is no text");
    conversation.SetSystem(json["system"].get<std::string>());
  }
  for (const Json& message : json["messages"]) {
    const bool is_text = message.is_object() && message.contains("role") &&
                         message["role"].is_string() && message.contains("content") &&
                         message["content"].is_string();
    if (!is_text) return bad("a message lacks role or content");
    const std::string role = message["role"].get<std::string>();
    if (role == "user") {
      conversation.AddUser(message["content"].get<std::string>());
    } else if (role == "assistant") {
      conversation.AddAssistant(message["content"].get<std::string>());
    } else {
      return bad("a message of '" + OneLine(role.substr(0, 40)) +
                 "'; only user and assistant are known");
    }
  }
  return conversation;
}

Status SaveConversation(const Conversation& conversation, const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  const std::string text = conversation.ToJson();
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(text))));
  return file.Commit();
}

Result<Conversation> LoadConversation(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, int64_t{64} << 20));
  Result<Conversation> conversation = Conversation::FromJson(text);
  if (!conversation)
    return MakeError(conversation.error().code, path + " is " + conversation.error().message);
  return conversation;
}

}  // namespace hearth
