// recipes/tiny.yaml from end to end, killed in the middle of a stage that trains: what comes out is
// what an uninterrupted run makes, bit by bit.
//
// Every run is a process of its own: torch's threads do not outlive a fork.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "runtime/model/testing/tiny_model.h"
#include "training/recipe/report.h"
#include "training/recipe/runner.h"
#include "training/recipe/stages/all_kinds.h"
#include "training/recipe/testing_kinds.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::ReadText;
using testing::WriteText;

class TinyRecipe : public ::testing::Test {
 protected:
  TinyRecipe()
      : folder_(fs::path(::testing::TempDir()) / ("tiny_recipe_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    hearth::testing::TinyModelOptions model;
    model.type = model.head_type = TensorType::kF32;
    HEARTH_CHECK(hearth::testing::WriteTinyModel(folder_ / "tiny.gguf", model).has_value());
    fs::copy_file("recipes/tiny.yaml", folder_ / "tiny.yaml");
    std::string rows;
    for (int i = 0; i < 40; ++i) {
      const std::string n = std::to_string(i), next = std::to_string(i + 1);
      rows += R"({"messages":[{"role":"user","content":"What comes after )" + n +
              R"(?"},{"role":"assistant","content":"After )" + n + " comes " + next + ".\"}]}\n";
    }
    WriteText(folder_ / "rows.jsonl", rows);
  }
  ~TinyRecipe() override { fs::remove_all(folder_); }

  // Runs the recipe in a child, which kills itself once `stage` is past half its way. Returns how
  // many stages it made, or the negative signal that ended it.
  int Run(const std::string& workdir, const std::string& kill_in = "") {
    const pid_t child = fork();
    if (child == 0) {
      const auto recipe = LoadRecipe(folder_ / "tiny.yaml", AllStageKinds(), {});
      if (!recipe) {
        std::fprintf(stderr, "%s\n", recipe.error().message.c_str());
        _exit(100);
      }
      RunOptions options;
      options.workdir = folder_ / workdir;
      RunEvents events;
      std::string stage_now;
      events.on_stage_begin = [&](const RecipeStage& stage) { stage_now = stage.name; };
      events.on_progress = [&](double done, std::string_view) {
        if (stage_now == kill_in && done > 0.5) kill(getpid(), SIGKILL);
      };
      const auto summary = RunRecipe(*recipe, options, events);
      if (!summary) std::fprintf(stderr, "%s\n", summary.error().message.c_str());
      _exit(summary ? summary->num_made : 101);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }

  RunView View(const std::string& workdir) {
    Ledger ledger = *Ledger::Open(folder_ / workdir, false);
    return *ViewRun(ledger, folder_ / workdir, "tiny");
  }

  fs::path folder_;
};

TEST_F(TinyRecipe, KilledAndRunAgainItMakesTheSame) {
  ASSERT_EQ(Run("whole"), 9);
  EXPECT_EQ(Run("whole"), 0) << "the second time does nothing";
  EXPECT_EQ(Run("parts", "adapter"), -SIGKILL);
  EXPECT_EQ(Run("parts", "head"), -SIGKILL);
  ASSERT_GT(Run("parts"), 0);

  const RunView whole = View("whole"), parts = View("parts");
  ASSERT_EQ(whole.stages.size(), parts.stages.size());
  for (size_t i = 0; i < whole.stages.size(); ++i) {
    const Artifact* a = whole.ArtifactOf(whole.stages[i]);
    const Artifact* b = parts.ArtifactOf(parts.stages[i]);
    ASSERT_TRUE(a != nullptr && b != nullptr) << whole.stages[i].name;
    EXPECT_EQ(a->key, b->key);
    ASSERT_EQ(a->outputs.size(), b->outputs.size());
    for (size_t output = 0; output < a->outputs.size(); ++output) {
      // Curves hold speeds, and reports times.
      if (a->outputs[output].content == content::kCurves ||
          a->outputs[output].content == content::kReport)
        continue;
      EXPECT_EQ(a->outputs[output].sha256, b->outputs[output].sha256)
          << whole.stages[i].name << "." << a->outputs[output].name;
    }
  }
  // It went on, not anew.
  for (const StageRecord& stage : parts.stages) {
    if (stage.name != "adapter") continue;
    const std::string log =
        ReadText(folder_ / "parts" / "artifacts" / stage.artifact / "stage.log");
    EXPECT_THAT(log, HasSubstr("trained steps 5 to 8")) << log;
  }
  EXPECT_EQ(parts.run.attempts, 3);
  const std::string page = RunAsHtml(parts, folder_ / "parts");
  EXPECT_THAT(page, HasSubstr("<svg class=\"chart\""));
  EXPECT_THAT(page, HasSubstr("train/loss"));
  EXPECT_THAT(page, HasSubstr("What comes after"));
  for (const TargetOutcome& target : TargetsOf(parts))
    EXPECT_TRUE(target.measured) << target.figure;
}

}  // namespace
}  // namespace hearth::forge
