#include "apps/hearth/conversation.h"

#include <unistd.h>

#include <filesystem>

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(Conversation, PromptBeginsWithTheSystemMessage) {
  Conversation conversation;
  conversation.AddUser("hi");
  EXPECT_EQ(conversation.Prompt().messages.size(), 1u);
  conversation.SetSystem("Be brief.");
  const ChatPrompt prompt = conversation.Prompt();
  ASSERT_EQ(prompt.messages.size(), 2u);
  EXPECT_EQ(prompt.messages[0].role, "system");
  EXPECT_EQ(prompt.messages[1].content, "hi");
}

TEST(Conversation, RewindTakesTheAnswerBackAndKeepsTheQuestion) {
  Conversation conversation;
  EXPECT_FALSE(conversation.RewindToLastUser());
  conversation.AddUser("question");
  conversation.AddAssistant("answer");
  EXPECT_TRUE(conversation.RewindToLastUser());
  ASSERT_EQ(conversation.turns().size(), 1u);
  EXPECT_EQ(conversation.turns()[0].role, "user");
}

TEST(Conversation, ComesBackFromItsFile) {
  Conversation conversation;
  conversation.SetSystem("Answer \"quoted\".");
  conversation.AddUser("one\ntwo");
  conversation.AddAssistant("\xc3\xa9t\xc3\xa9");
  const std::string path =
      testing::TempDir() + "conversation_" + std::to_string(::getpid()) + ".json";
  ASSERT_TRUE(SaveConversation(conversation, path));
  const auto loaded = LoadConversation(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->system(), conversation.system());
  ASSERT_EQ(loaded->turns().size(), 2u);
  EXPECT_EQ(loaded->turns()[0].content, "one\ntwo");
  EXPECT_EQ(loaded->turns()[1].role, "assistant");
  EXPECT_EQ(loaded->turns()[1].content, "\xc3\xa9t\xc3\xa9");
}

TEST(Conversation, RefusesFilesThatAreNone) {
  for (const char* text : {"", "not json", "[]", "{}", "{\"messages\":1}", "{\"messages\":[1]}",
                           "{\"messages\":[{\"role\":\"user\"}]}",
                           "{\"messages\":[{\"role\":\"user\",\"content\":1}]}",
                           "{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}",
                           "{\"system\":1,\"messages\":[]}"}) {
    const auto loaded = Conversation::FromJson(text);
    EXPECT_FALSE(loaded) << text;
    if (loaded) continue;
    EXPECT_EQ(loaded.error().code, ErrorCode::kCorrupt) << text;
  }
}

TEST(Conversation, MissingFileIsNamed) {
  const auto loaded = LoadConversation("/nonexistent/chat.json");
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::kNotFound);
  EXPECT_NE(loaded.error().message.find("/nonexistent/chat.json"), std::string::npos);
}

}  // namespace
}  // namespace hearth
