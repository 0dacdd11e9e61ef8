// A stage in two processes learns what it learns in one. This program starts copies of itself,
// which run the test named StageCopy.
#include "training/recipe/stages/processes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "runtime/model/testing/tiny_model.h"
#include "training/recipe/runner.h"
#include "training/recipe/stages/all_kinds.h"
#include "training/recipe/testing_kinds.h"
#include "training/trainer/process_group.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::WriteText;

constexpr const char* kRecipe = R"(name: two
seed: 3
files:
  base: {path: tiny.gguf}
  given: {path: rows.jsonl}
stages:
  - name: adapter
    kind: lora
    base_model: base
    datasets: [{path: given}]
    lora_r: 4
    sequence_len: 128
    micro_batch_size: 2
    gradient_accumulation_steps: 2
    max_steps: 4
    val_set_size: 0.2
    learning_rate: 1e-2
    preprocess_threads: 1
    device: cpu
)";

// What a copy does.
TEST(StageCopy, Runs) {
  if (std::getenv("WORLD_SIZE") == nullptr)
    GTEST_SKIP() << "only as a copy that another test starts";
  const Status status = RunStageCopy(AllStageKinds(), ::testing::internal::GetArgvs().back());
  EXPECT_TRUE(status) << status.error().message;
}

class StageProcesses : public ::testing::Test {
 protected:
  StageProcesses()
      : folder_(fs::path(::testing::TempDir()) / ("stage_processes_" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
    hearth::testing::TinyModelOptions model;
    model.type = model.head_type = TensorType::kF32;
    HEARTH_CHECK(hearth::testing::WriteTinyModel(folder_ / "tiny.gguf", model).has_value());
    WriteText(folder_ / "two.yaml", kRecipe);
    std::string rows;
    for (int i = 0; i < 40; ++i)
      rows += R"({"prompt":"What comes after )" + std::to_string(i) + R"(?","completion":")" +
              std::to_string(i + 1) + "\"}\n";
    WriteText(folder_ / "rows.jsonl", rows);
  }
  ~StageProcesses() override { fs::remove_all(folder_); }

  // The stage's figures by name.
  Result<std::map<std::string, double>> Run(const std::string& workdir,
                                            const std::vector<std::string>& overrides) {
    HEARTH_ASSIGN_OR_RETURN(const Recipe recipe,
                            LoadRecipe(folder_ / "two.yaml", AllStageKinds(), overrides));
    RunOptions options;
    options.workdir = folder_ / workdir;
    options.copy_command = {"/proc/self/exe", "--gtest_filter=StageCopy.Runs"};
    std::map<std::string, double> figures;
    RunEvents events;
    events.on_stage_end = [&](const RecipeStage&, const StageRecord&, const Artifact* artifact) {
      if (artifact == nullptr) return;
      for (const StageFigure& figure : artifact->figures) figures[figure.name] = figure.value;
    };
    HEARTH_RETURN_IF_ERROR(RunRecipe(recipe, options, events).map([](const auto&) {}));
    return figures;
  }

  fs::path folder_;
};

TEST_F(StageProcesses, TwoLearnWhatOneLearns) {
  if (!ProcessGroup::Supported(at::kCPU)) GTEST_SKIP() << "this build has no Gloo";
  const auto one = Run("one", {});
  ASSERT_TRUE(one) << one.error().message;
  const auto two = Run("two", {"adapter.num_processes=2"});
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_EQ(two->at("steps"), 4);
  EXPECT_GT(std::abs(two->at("held_out_loss_drop")), 1e-4);
  EXPECT_NEAR(one->at("held_out_loss"), two->at("held_out_loss"), 1e-5);
  EXPECT_NEAR(one->at("loss"), two->at("loss"), 1e-5);
}

TEST_F(StageProcesses, AFailureOfACopyIsTheStages) {
  if (!ProcessGroup::Supported(at::kCPU)) GTEST_SKIP() << "this build has no Gloo";
  const auto result = Run("bad", {"adapter.num_processes=2", "adapter.sequence_len=8"});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("adapter"));
}

TEST_F(StageProcesses, BatchesMustDivide) {
  const auto result = Run("odd", {"adapter.num_processes=3"});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("no multiple of num_processes"));
}

}  // namespace
}  // namespace hearth::forge
