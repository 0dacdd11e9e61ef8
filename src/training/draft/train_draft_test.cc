// From a base's file to a draft's: what the base makes, what is learned from it, how good it is.
#include "training/draft/train_draft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runtime/model/testing/tiny_model.h"
#include "training/generate/generate_file.h"

namespace hearth::forge {
namespace {

using ::testing::HasSubstr;

class TrainDraftTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    ASSERT_TRUE(hearth::testing::WriteTinyModel(base_, {.num_layers = 3}));
    GenerateFileOptions options;
    options.model = base_;
    options.output = data_;
    options.device = "cpu";  // tiny models are quick there, and every machine has one
    options.generator.batch = 8;
    options.conversations.max_answer_tokens = 40;
    // A random model's texts hardly ever end by themselves: given questions do without.
    std::ofstream(prompts_) << "{\"prompt\": \"abc\"}\n{\"prompt\": \"hello there\"}\n";
    options.conversations.prompt_files = {prompts_};
    options.conversations.answers_per_prompt = 8;
    const auto made = GenerateFile(options);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->conversations.conversations, 16);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  TrainDraftOptions Options(bool head) const {
    TrainDraftOptions options;
    options.base = base_;
    options.device = "cpu";
    options.output = folder_ + (head ? "head.gguf" : "model.gguf");
    options.data.files = {data_};
    options.data.held_out = 0.2;
    options.packing.batch_tokens = 256;
    options.head = head;
    options.vocab_size = 128;
    options.trainer.max_steps = 6;
    options.trainer.schedule.learning_rate = 1e-3;
    return options;
  }

  const std::string folder_ =
      ::testing::TempDir() + "hearth_train_draft_" + std::to_string(getpid()) + "/";
  const std::string base_ = folder_ + "base.gguf", data_ = folder_ + "made.jsonl.gz",
                    prompts_ = folder_ + "prompts.jsonl";
};

TEST_F(TrainDraftTest, MakesDraftsThatCanBeMeasured) {
  MeasureDraftOptions measure;
  measure.base = base_;
  measure.device = "cpu";
  measure.prompt_files = {prompts_};
  measure.max_answer_tokens = 24;
  for (const bool head : {true, false}) {
    const auto result = TrainDraft(Options(head));
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->summary.last_step, 6);
    EXPECT_GT(result->data.rows, 4);
    EXPECT_EQ(result->vocabulary.token_ids.size(), 128u);
    EXPECT_FALSE(result->summary.evaluation.empty());
    EXPECT_EQ(result->bytes_in_all > result->bytes_per_guess, head);
    measure.drafts.push_back(Options(head).output);
  }
  const auto measured = MeasureDrafts(measure);
  ASSERT_TRUE(measured) << measured.error().message;
  ASSERT_EQ(measured->drafts.size(), 2u);
  EXPECT_EQ(measured->answers, 2);
  EXPECT_TRUE(measured->drafts[0].is_head);
  EXPECT_FALSE(measured->drafts[1].is_head);
  for (const MeasuredDraft& draft : measured->drafts) {
    EXPECT_EQ(draft.vocab_size, 128);
    ASSERT_EQ(draft.quality.tokens_per_verification.size(), 5u);
    EXPECT_GE(draft.quality.tokens_per_verification[4], 1);
  }
}

TEST_F(TrainDraftTest, SaysWhatIsWrong) {
  TrainDraftOptions options = Options(true);
  options.draft.taps = {9};
  auto result = TrainDraft(options);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("layer 9"));
  options = Options(true);
  options.data.files = {folder_ + "absent.jsonl"};
  result = TrainDraft(options);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("absent.jsonl"));
}

}  // namespace
}  // namespace hearth::forge
