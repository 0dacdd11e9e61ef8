#include "apps/hearth/chat_session.h"

#include <filesystem>
#include <utility>

namespace hearth {
namespace {

std::string KvPath(const std::string& path) { return path + ".kv"; }

}  // namespace

Status SaveChatSession(const Conversation& conversation, EngineBackend& backend,
                       const std::string& path) {
  HEARTH_RETURN_IF_ERROR(SaveConversation(conversation, path));
  if (conversation.empty()) return {};
  // What the next turn will begin with, which is what it will look for in the cache.
  ChatPrompt prompt = conversation.Prompt();
  prompt.add_generation_prompt = false;
  HEARTH_ASSIGN_OR_RETURN(const RenderedPrompt rendered, backend.RenderChat(prompt));
  HEARTH_RETURN_IF_ERROR(backend.engine().SaveSession(KvPath(path), rendered.tokens));
  return {};
}

Result<ChatSession> LoadChatSession(EngineBackend& backend, const std::string& path) {
  ChatSession session;
  HEARTH_ASSIGN_OR_RETURN(session.conversation, LoadConversation(path));
  const Result<int> restored = backend.engine().RestoreSession(KvPath(path));
  if (!restored && restored.error().code != ErrorCode::kNotFound)
    session.kv_note = restored.error().message + "; it is computed again";
  return session;
}

Result<ChatSession> LoadOrBeginChatSession(EngineBackend& backend, const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return ChatSession{};
  return LoadChatSession(backend, path);
}

}  // namespace hearth
