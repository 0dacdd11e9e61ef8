#pragma once
// A conversation on disk with what the model has computed of it: the text in FILE, the KV cache of
// it in FILE.kv. The text alone is enough; the KV only saves computing it again.

#include <string>

#include "apps/hearth/conversation.h"
#include "base/result.h"
#include "brain/engine_backend.h"

namespace hearth {

// Errors: those of SaveConversation, Backend::RenderChat and Engine::SaveSession.
Status SaveChatSession(const Conversation& conversation, EngineBackend& backend,
                       const std::string& path);

struct ChatSession {
  Conversation conversation;
  std::string kv_note;  // why there is KV that cannot be used; empty: none, or it is used
};
// Errors: those of LoadConversation.
Result<ChatSession> LoadChatSession(EngineBackend& backend, const std::string& path);
// The same; a conversation that has yet to begin where there is no file.
Result<ChatSession> LoadOrBeginChatSession(EngineBackend& backend, const std::string& path);

}  // namespace hearth
