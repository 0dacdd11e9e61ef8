// Tokens and marks against transformers, see tests/golden/training_data.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "kit/json_file.h"
#include "training/data/tokenized_row.h"

namespace hearth::forge {
namespace {

void ExpectGolden(const std::string& model, const std::string& file) {
  const char* folder = std::getenv("HEARTH_MODELS");
  const char* home = std::getenv("HOME");
  const std::string path =
      (folder != nullptr ? folder
                         : std::string(home != nullptr ? home : "") + "/.cache/hearth-models") +
      "/" + file;
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there (HEARTH_MODELS)";
  const auto chat = ChatTokenizer::Load(path);
  ASSERT_TRUE(chat) << chat.error().message;
  const auto goldens = ReadJsonObject("tests/golden/training_data/masks.json");
  ASSERT_TRUE(goldens) << goldens.error().message;
  auto reader = RowReader::Open({"tests/golden/training_data/conversations.jsonl"});
  ASSERT_TRUE(reader) << reader.error().message;
  for (const Json& golden : (*goldens)[model]) {
    const auto conversation = reader->Next();
    ASSERT_TRUE(conversation && *conversation);
    auto tokens = golden["tokens"].get<std::vector<int32_t>>();
    auto mask = golden["mask"].get<std::string>();
    // Our rows end with their last counted token.
    mask.resize(mask.find_last_of('1') + 1);
    tokens.resize(mask.size());
    const auto rows = TokenizeConversation(*chat, **conversation, {});
    ASSERT_TRUE(rows) << rows.error().message;
    ASSERT_EQ(rows->size(), 1u);
    EXPECT_EQ((*rows)[0].tokens, tokens) << "line " << (*conversation)->line;
    std::string marks;
    for (const uint8_t learned : (*rows)[0].learned) marks += learned != 0 ? '1' : '0';
    EXPECT_EQ(marks, mask) << "line " << (*conversation)->line;

    // Activated: peft looks for the header's last occurrence, and so must we.
    const auto header = AssistantHeader(*chat);
    ASSERT_TRUE(header);
    const auto turns = TokenizeConversation(*chat, **conversation, {.activated = true});
    ASSERT_TRUE(turns) << turns.error().message;
    for (const TokenizedRow& turn : *turns) {
      const auto found = std::ranges::find_end(turn.tokens, *header);
      EXPECT_EQ(turn.adapter_begin, found.begin() - turn.tokens.begin())
          << "line " << (*conversation)->line;
    }
  }
}

TEST(TokenizedRowGolden, SmolLm2) { ExpectGolden("smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"); }
TEST(TokenizedRowGolden, Qwen2) {
  ExpectGolden("qwen2", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf");
}

}  // namespace
}  // namespace hearth::forge
