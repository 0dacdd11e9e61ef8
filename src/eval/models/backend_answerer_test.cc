#include "eval/models/backend_answerer.h"

#include <gtest/gtest.h>

#include "eval/testing/scripted_backend.h"

namespace hearth::eval {
namespace {

using ::hearth::testing::ScriptedBackend;

Question Ask(const std::string& text) {
  Question question;
  ChatMessage message;
  message.role = "user";
  message.content = text;
  question.prompt.messages.push_back(message);
  return question;
}

TEST(BackendAnswerer, GivesTheAnswerAndItsCounts) {
  ScriptedBackend backend([](const std::string& prompt) { return "you said: " + prompt; });
  BackendAnswerer answerer(backend);
  const auto answer = answerer.Ask(Ask("hi"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->text, "you said: user: hi\n");
  EXPECT_EQ(answer->prompt_tokens, 9);
  EXPECT_FALSE(answer->cut_off);
}

TEST(BackendAnswerer, SaysWhenAnAnswerIsCutOff) {
  ScriptedBackend backend([](const std::string&) { return std::string(50, 'x'); });
  BackendAnswerer answerer(backend);
  Question question = Ask("hi");
  question.max_tokens = 10;
  const auto answer = answerer.Ask(question);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->text.size(), 10u);
  EXPECT_TRUE(answer->cut_off);
}

TEST(BackendAnswerer, WhatTheTemplateRefusesIsTheItemsFailureNotTheRuns) {
  ScriptedBackend backend([](const std::string&) { return ""; });
  BackendAnswerer answerer(backend);
  const auto answer = answerer.Ask(Ask("refuse"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->refused, "the template refuses");
}

TEST(BackendAnswerer, AFullQueueIsWaitedFor) {
  ScriptedBackend backend([](const std::string&) { return "ok"; });
  backend.max_running = 1;
  BackendAnswerer answerer(backend);
  std::vector<std::thread> threads;
  std::atomic<int> num_good = 0;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      const auto answer = answerer.Ask(Ask("hi"));
      num_good += answer && answer->text == "ok" ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_good, 6);
}

TEST(BackendAnswerer, AStopEndsTheWaiting) {
  ScriptedBackend backend([](const std::string&) { return ""; });
  backend.hang = true;
  BackendAnswerer answerer(backend, [] { return true; });
  const auto answer = answerer.Ask(Ask("hi"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kCancelled);
}

TEST(BackendAnswerer, KnowsWhetherTheTemplateShowsTools) {
  ScriptedBackend backend([](const std::string&) { return ""; });
  EXPECT_FALSE(BackendAnswerer(backend).shows_tools());
  backend.show_tools = true;
  EXPECT_TRUE(BackendAnswerer(backend).shows_tools());
}

TEST(ScoreTokens, GivesOneForEachTokenButTheFirst) {
  ScriptedBackend backend([](const std::string&) { return ""; });
  const auto scores = ScoreTokens(backend, {'a', 'a', 'b'}, {});
  ASSERT_TRUE(scores);
  ASSERT_EQ(scores->size(), 2u);
  EXPECT_FLOAT_EQ((*scores)[0], static_cast<float>(ScriptedBackend::kSame));
  EXPECT_FLOAT_EQ((*scores)[1], static_cast<float>(ScriptedBackend::kOther));
}

}  // namespace
}  // namespace hearth::eval
