#include "training/generate/conversations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "training/data/testing_chat.h"
#include "training/generate/token_rows.h"

namespace hearth::forge {
namespace {

using ::testing::ElementsAre;

// Bytes as tokens; the logits hardly differ, so that every token has its chance.
Decoder TinyDecoder() {
  DecoderConfig config;
  config.architecture = "llama";
  config.num_layers = 1;
  config.hidden_size = 16;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.head_dim = 8;
  config.ffn_size = 16;
  config.vocab_size = kTestVocabSize;
  config.context_length = 256;
  config.tied_head = true;
  return Decoder::Random(config, {}, 3);
}

struct Made {
  std::vector<MadeConversation> conversations;
  ConversationStatistics statistics;
};

Made Make(const ChatTokenizer& chat, const ConversationOptions& options, int64_t batch) {
  const Decoder decoder = TinyDecoder();
  GeneratorOptions generator_options;
  generator_options.batch = batch;
  generator_options.capacity = 250;
  generator_options.steps_per_check = 4;
  generator_options.stop_tokens = StopTokens(chat);
  // Every fiftieth token or so ends a text.
  generator_options.stop_tokens.insert(generator_options.stop_tokens.end(),
                                       {'a', 'b', 'c', 'd', 'e'});
  Generator generator(decoder, generator_options);
  Made made;
  const auto statistics =
      MakeConversations(generator, chat, options, [&](const MadeConversation& one) -> Status {
        made.conversations.push_back(one);
        return {};
      });
  EXPECT_TRUE(statistics) << statistics.error().message;
  if (statistics) made.statistics = *statistics;
  return made;
}

TEST(UserHeader, EndsWhereTheUserBegins) {
  const ChatTokenizer chat = TestChat();
  const auto header = UserHeader(chat);
  ASSERT_TRUE(header);
  EXPECT_THAT(*header, ElementsAre(kTestImStart, 'u', 's', 'e', 'r', '\n'));
  EXPECT_THAT(StopTokens(chat), ElementsAre(kTestImEnd));
}

TEST(MakeConversations, DoesNotDependOnTheBatch) {
  const ChatTokenizer chat = TestChat();
  ConversationOptions options;
  options.num_invented = 20;
  options.max_question_tokens = 100;
  options.max_answer_tokens = 30;
  options.seed = 5;
  const Made one = Make(chat, options, 1), many = Make(chat, options, 7);
  ASSERT_EQ(one.conversations.size(), 20u);
  ASSERT_EQ(many.conversations.size(), 20u);
  int greedy = 0;
  for (size_t i = 0; i < 20; ++i) {
    const MadeConversation& made = one.conversations[i];
    EXPECT_EQ(made.tokens, many.conversations[i].tokens) << i;
    EXPECT_EQ(made.messages, many.conversations[i].messages) << i;
    ASSERT_EQ(made.messages.size(), 2u);
    EXPECT_FALSE(made.messages[0].content.empty());
    greedy += made.temperature == 0 ? 1 : 0;
    // The prompt is what the runtime would make of the question.
    const auto prompt = chat.Prompt(std::span(made.messages).first(1));
    ASSERT_TRUE(prompt);
    EXPECT_EQ(std::vector<int32_t>(made.tokens.begin(), made.tokens.begin() + made.answer_begin),
              *prompt);
  }
  EXPECT_GT(greedy, 2);
  EXPECT_LT(greedy, 18);
  options.seed = 6;
  EXPECT_NE(Make(chat, options, 7).conversations[0].tokens, one.conversations[0].tokens);
}

TEST(MakeConversations, AnswersGivenPromptsAndItsTokensAreReadBackAsTheyAre) {
  const ChatTokenizer chat = TestChat();
  const std::string path =
      ::testing::TempDir() + "hearth_conversations_" + std::to_string(getpid()) + ".jsonl";
  {
    std::ofstream file(path);
    file << R"({"instruction": "Say it.", "output": "no"})"
         << "\n"
         << "not json\n"
         << R"({"turns": ["First?", "Second?"]})"
         << "\n"
         << R"({"messages": [{"role": "assistant", "content": "only"}]})"
         << "\n";
  }
  ConversationOptions options;
  options.prompt_files = {path};
  options.answers_per_prompt = 2;
  options.max_answer_tokens = 20;
  const Made made = Make(chat, options, 3);
  ASSERT_EQ(made.conversations.size(), 4u);
  EXPECT_EQ(made.conversations[1].messages[0].content, "Say it.");
  EXPECT_EQ(made.conversations[2].messages[0].content, "First?");
  EXPECT_EQ(made.statistics.prompts_dropped, 2);
  {
    std::ofstream file(path);
    for (const MadeConversation& one : made.conversations) file << ToJsonLine(one) << "\n";
    file << R"({"messages": [{"role":"user","content":"q"},{"role":"assistant","content":"r"}]})"
         << "\n"
         << R"({"tokens": [1, 99999], "answer_begin": 0})"
         << "\n";
  }
  DatasetOptions data;
  data.files = {path};
  const auto dataset = ReadTokenRows(chat, data);
  std::remove(path.c_str());
  ASSERT_TRUE(dataset) << dataset.error().message;
  ASSERT_EQ(dataset->train.num_rows(), 5);
  EXPECT_EQ(dataset->train_statistics.num_left_out(), 1);
  for (int64_t i = 0; i < 4; ++i) {
    const TokenizedRow row = dataset->train.Row(i);
    const MadeConversation& one = made.conversations[static_cast<size_t>(i)];
    EXPECT_EQ(row.tokens, one.tokens);
    EXPECT_EQ(row.num_learned(), static_cast<int64_t>(one.tokens.size()) - one.answer_begin);
  }
  EXPECT_EQ(ShowRow(dataset->train.Row(4)), "<user\nq>\n<assistant\n[r>]");
}

}  // namespace
}  // namespace hearth::forge
