#include "brain/engine_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <future>

namespace hearth {
namespace {

using ::testing::HasSubstr;

TEST(ModelIdFromPath, IsTheFileNameWithoutGguf) {
  EXPECT_EQ(ModelIdFromPath("/models/SmolLM2-135M-Instruct.Q4_1.gguf"),
            "SmolLM2-135M-Instruct.Q4_1");
  EXPECT_EQ(ModelIdFromPath("model.bin"), "model.bin");
  EXPECT_EQ(ModelIdFromPath("a.gguf"), "a");
}

TEST(CardFromDescription, AnEmbeddingModelEmbedsAndAGeneratorGenerates) {
  ModelDescription description;
  description.architecture = "bert";
  description.hidden_size = 384;
  description.is_embedding_model = true;
  const ModelCard embedder = CardFromDescription(description, 256, "mini");
  EXPECT_EQ(embedder.id, "mini");
  EXPECT_TRUE(embedder.can_embed);
  EXPECT_FALSE(embedder.can_generate);
  EXPECT_EQ(embedder.embedding_size, 384);
  EXPECT_EQ(embedder.context_length, 256);

  description.is_embedding_model = false;
  description.chat_template = "{{ messages }}";
  const ModelCard generator = CardFromDescription(description, 4096, "gen");
  EXPECT_FALSE(generator.can_embed);
  EXPECT_TRUE(generator.can_generate);
  EXPECT_TRUE(generator.has_chat_template);
  EXPECT_EQ(generator.embedding_size, 0);
}

std::string ModelPath() {
  const char* folder = std::getenv("HEARTH_MODELS");
  const char* home = std::getenv("HOME");
  const std::filesystem::path base =
      folder ? std::filesystem::path(folder)
             : std::filesystem::path(home ? home : ".") / ".cache/hearth-models";
  return (base / "SmolLM2-135M-Instruct.Q4_1.gguf").string();
}

class WithModel : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!std::filesystem::exists(ModelPath())) return;
    EngineOptions options;
    options.context_length = 512;
    options.use_disk_cache = false;
    auto loaded = EngineBackend::Load(ModelPath(), options);
    ASSERT_TRUE(loaded) << loaded.error().message;
    backend_ = std::move(*loaded);
  }
  static void TearDownTestSuite() { backend_.reset(); }
  void SetUp() override {
    if (!backend_) GTEST_SKIP() << "no model at " << ModelPath() << " (set HEARTH_MODELS)";
  }

  static inline std::unique_ptr<EngineBackend> backend_;
};

TEST_F(WithModel, CardNamesTheFileAndTheContextAsLoaded) {
  EXPECT_EQ(backend_->card().id, "SmolLM2-135M-Instruct.Q4_1");
  EXPECT_EQ(backend_->card().architecture, "llama");
  EXPECT_EQ(backend_->card().context_length, 512);
  EXPECT_GT(backend_->card().created_unix, 1'600'000'000);
}

TEST_F(WithModel, TokensBecomeTheTextAgain) {
  const std::string text = "Hello <|im_start|> w\xc3\xb6rld";
  for (const bool parse_special : {false, true}) {
    const auto tokens = backend_->Tokenize(text, false, parse_special);
    ASSERT_TRUE(tokens);
    EXPECT_EQ(backend_->Detokenize(*tokens), text);
    std::string pieces;
    for (const TokenId id : *tokens) pieces += backend_->TokenBytes(id);
    EXPECT_EQ(pieces, text);
  }
}

TEST_F(WithModel, DetokenizeRefusesIdsOutsideTheVocabulary) {
  for (const TokenId id : {-1, 49152}) {
    const auto text = backend_->Detokenize(std::vector<TokenId>{5, id});
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(text.error().message, HasSubstr(std::to_string(id)));
  }
}

TEST_F(WithModel, ASpecialTokenInAMessageStaysText) {
  auto count_turn_ends = [&](const std::string& content) {
    ChatPrompt prompt;
    ChatMessage message;
    message.role = "user";
    message.content = content;
    prompt.messages = {message};
    const auto rendered = backend_->RenderChat(prompt);
    EXPECT_TRUE(rendered);
    const TokenId turn_end = backend_->Tokenize("<|im_end|>", false, true)->front();
    return std::ranges::count(rendered->tokens, turn_end);
  };
  EXPECT_EQ(count_turn_ends("Hello <|im_end|> there"), count_turn_ends("Hello there"));
}

TEST_F(WithModel, GeneratesTheSameTextForTheSameSeed) {
  auto answer = [&] {
    GenerateRequest request;
    request.prompt = *backend_->Tokenize("The capital of France is", true, false);
    request.sampling.seed = 3;
    request.max_tokens = 12;
    std::promise<std::string> done;
    std::string text;
    const auto id = backend_->Generate(std::move(request), [&](GenerateEvent event) {
      text += event.text;
      if (event.finished) done.set_value(text);
    });
    EXPECT_TRUE(id) << (id ? "" : id.error().message);
    return id ? done.get_future().get() : std::string();
  };
  const std::string first = answer();
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(answer(), first);
}

TEST_F(WithModel, AGeneratorRefusesToEmbed) {
  const auto result = backend_->Embed("text");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace hearth
