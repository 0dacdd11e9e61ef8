#include "training/data/tokenized_row.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "training/data/testing_chat.h"

namespace hearth::forge {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> Rows(const ChatTokenizer& chat, const std::string& json,
                              const RowOptions& options = {}) {
  const auto conversations = ParseRow(json);
  if (!conversations) return {conversations.error().message};
  const auto rows = TokenizeConversation(chat, conversations->front(), options);
  if (!rows) return {rows.error().message};
  std::vector<std::string> shown;
  for (const TokenizedRow& row : *rows) shown.push_back(ShowRow(row));
  return shown;
}

const std::string kTwoTurns =
    R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},)"
    R"({"role":"assistant","content":"b"},{"role":"user","content":"c"},)"
    R"({"role":"assistant","content":"d"},{"role":"user","content":"e"}]})";

TEST(TokenizedRow, LearnsAnswersWithTheirEndAndStopsBehindTheLast) {
  EXPECT_THAT(Rows(TestChat(), kTwoTurns),
              ElementsAre("<system\ns>\n<user\na>\n<assistant\n[b>]\n<user\nc>\n<assistant\n[d>]"));
}

TEST(TokenizedRow, SpecialTokensInAMessageStayText) {
  const std::string row = R"({"prompt":"<|im_end|>","completion":"x<|im_end|>y"})";
  EXPECT_THAT(Rows(TestChat(), row),
              ElementsAre("<user\n<|im_end|>>\n<assistant\n[x<|im_end|>y>]"));
}

TEST(TokenizedRow, AnActivatedAdapterGetsARowPerTurn) {
  EXPECT_THAT(Rows(TestChat(), kTwoTurns, {.activated = true}),
              ElementsAre("<system\ns>\n<user\na>\n@<assistant\n[b>]",
                          "<system\ns>\n<user\na>\n<assistant\nb>\n<user\nc>\n@<assistant\n[d>]"));
  const auto header = AssistantHeader(TestChat());
  ASSERT_TRUE(header);
  EXPECT_EQ(header->front(), kTestImStart);
  EXPECT_EQ(header->back(), '\n');
  EXPECT_EQ(header->size(), 11u);
}

TEST(TokenizedRow, ATemplateThatRewritesEarlierTurnsGivesARowPerTurn) {
  // As the templates of reasoning models do: only the last answer keeps what it began with.
  const ChatTokenizer chat = TestChat(
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
      "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('|')[1] }}"
      "{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
  EXPECT_THAT(Rows(chat, R"({"conversations":[{"from":"human","value":"a"},)"
                         R"({"from":"gpt","value":"x|b"},{"from":"human","value":"c"},)"
                         R"({"from":"gpt","value":"y|d"}]})"),
              ElementsAre("<user\na>\n<assistant\n[x|b>]",
                          "<user\na>\n<assistant\nb>\n<user\nc>\n<assistant\n[y|d>]"));
}

TEST(TokenizedRow, ATemplateWhoseHeaderIsNotContinuedIsRefused) {
  const ChatTokenizer chat = TestChat(
      "{% for m in messages %}{{ m.role + ':' + m.content + '\n' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ 'model:' }}{% endif %}");
  EXPECT_THAT(Rows(chat, R"({"prompt":"a","completion":"b"})"),
              ElementsAre(HasSubstr("do not continue the header")));
}

TEST(TokenizedRow, WithoutAnEndTokenTheWholeRestIsTheAnswer) {
  const ChatTokenizer chat = TestChat(
      "{% for m in messages %}{{ m.role + ':' + m.content + '\n' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}");
  EXPECT_THAT(Rows(chat, kTwoTurns),
              ElementsAre("system:s\nuser:a\nassistant:[b\n]user:c\nassistant:[d\n]"));
}

TEST(TokenizedRow, OverlongRowsAreCutDroppedOrLoseTheirOldestTurns) {
  const std::string whole = "<system\ns>\n<user\na>\n<assistant\n[b>]\n<user\nc>\n<assistant\n[d>]";
  const auto size = static_cast<int64_t>(whole.size()) - 4;  // without the brackets
  EXPECT_THAT(Rows(TestChat(), kTwoTurns, {.max_tokens = size}), ElementsAre(whole));
  EXPECT_THAT(Rows(TestChat(), kTwoTurns, {.max_tokens = size - 1}),
              ElementsAre("<system\ns>\n<user\na>\n<assistant\n[b>]\n<user\nc>\n<assistant\n[d]"));
  EXPECT_THAT(Rows(TestChat(), kTwoTurns, {.max_tokens = size - 1, .overlong = Overlong::kDrop}),
              IsEmpty());
  EXPECT_THAT(
      Rows(TestChat(), kTwoTurns, {.max_tokens = size - 1, .overlong = Overlong::kDropTurns}),
      ElementsAre("<system\ns>\n<user\nc>\n<assistant\n[d>]"));
  EXPECT_THAT(Rows(TestChat(), kTwoTurns, {.max_tokens = 5}), IsEmpty());
  EXPECT_THAT(Rows(TestChat(), kTwoTurns, {.max_tokens = 1}), ElementsAre(HasSubstr("at least 2")));
}

TEST(TokenizedRow, PromptsAreLearnedWhenAskedFor) {
  EXPECT_THAT(Rows(TestChat(), R"({"prompt":"a","completion":"b"})", {.learn_prompts = true}),
              ElementsAre("<[user\na>\n<assistant\nb>]"));
}

TEST(TokenizedRow, TextIsCutInPiecesAndEndsWithEos) {
  EXPECT_THAT(Rows(TestChat(), R"({"text":"abcdefg"})", {.max_tokens = 3}),
              ElementsAre("a[bc]", "d[ef]", "g[>]"));
  EXPECT_THAT(Rows(TestChat(), R"({"text":"abcdef"})", {.max_tokens = 3}),
              ElementsAre("a[bc]", "d[ef]"));
}

TEST(TokenizedRow, AConversationWithoutAnAnswerIsNamed) {
  EXPECT_THAT(Rows(TestChat(), R"({"prompt":"a"})"), ElementsAre(HasSubstr("assistant")));
  EXPECT_THAT(Rows(TestChat(), R"({"messages":[{"role":"assistant","content":"a"}]})"),
              ElementsAre(HasSubstr("assistant")));
}

TEST(TokenizedRow, AnAssistantThatSpeaksFirstAnswersNothing) {
  EXPECT_THAT(Rows(TestChat(), R"({"messages":[{"role":"assistant","content":"a"},)"
                               R"({"role":"user","content":"b"},)"
                               R"({"role":"assistant","content":"c"}]})"),
              ElementsAre("<assistant\na>\n<user\nb>\n<assistant\n[c>]"));
}

}  // namespace
}  // namespace hearth::forge
