#pragma once
// The messages of one chat, and the file that /save writes and /load reads.

#include <string>
#include <vector>

#include "base/result.h"
#include "brain/backend.h"

namespace hearth {

class Conversation {
 public:
  void SetSystem(std::string text) { system_ = std::move(text); }
  const std::string& system() const { return system_; }
  // User and assistant messages in turn.
  const std::vector<ChatMessage>& turns() const { return turns_; }
  bool empty() const { return turns_.empty(); }

  void Clear() { turns_.clear(); }
  void AddUser(std::string text);
  void AddAssistant(std::string text);
  // Takes back everything behind the last user message; false when there is none.
  bool RewindToLastUser();
  void DropLast();

  ChatPrompt Prompt() const;

  // {"system": ..., "messages": [{"role": ..., "content": ...}]}
  std::string ToJson() const;
  // Errors: kCorrupt saying what is wrong.
  static Result<Conversation> FromJson(const std::string& text);

 private:
  std::string system_;
  std::vector<ChatMessage> turns_;
};

// Errors: those of AtomicFile, ReadTextFile and FromJson, naming the path.
Status SaveConversation(const Conversation& conversation, const std::string& path);
Result<Conversation> LoadConversation(const std::string& path);

}  // namespace hearth
