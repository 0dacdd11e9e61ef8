#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "training/recipe/runner.h"
#include "training/recipe/stages/hearth_program.h"
#include "training/recipe/stages/kinds.h"
#include "training/recipe/testing_kinds.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::ReadText;
using testing::WriteText;

TEST(Figures, AreTheNumbersOfAnObject) {
  const auto figures = FiguresIn(nlohmann::ordered_json::parse(
      R"({"a":{"b":1,"text":"x"},"score":{"value":0.5,"low":0.4,"high":0.6,"items":10},"list":[1]})"));
  ASSERT_EQ(figures.size(), 2u);
  EXPECT_EQ(figures[0].name, "a.b");
  EXPECT_EQ(figures[1].name, "score");
  EXPECT_EQ(figures[1].low, 0.4);
}

// Stands for the program hearth: a script that does what the test says.
class HearthStages : public ::testing::Test {
 protected:
  HearthStages() {
    folder_ =
        fs::path(::testing::TempDir()) /
        (std::string("stages_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    WriteText(folder_ / "m.gguf", "a model");
  }
  ~HearthStages() override { fs::remove_all(folder_); }

  Result<RunSummary> Run(const std::string& script, const std::string& stage) {
    WriteText(folder_ / "hearth", "#!/bin/sh\n" + script);
    chmod((folder_ / "hearth").c_str(), 0755);
    RecipeOptions parse;
    parse.folder = folder_;
    const auto recipe = ParseRecipe("stages:\n  - " + stage + "\n",
                                    {&BenchStage(), &CurateStage(), &EvaluateStage()}, parse);
    if (!recipe) return tl::unexpected(recipe.error());
    RunOptions options;
    options.workdir = folder_ / "work";
    options.hearth_program = folder_ / "hearth";
    return RunRecipe(*recipe, options, {});
  }
  Artifact Made() {
    Ledger ledger = *Ledger::Open(folder_ / "work", false);
    return **ledger.FindArtifact(ledger.Stages(1)->front().artifact);
  }

  fs::path folder_;
};

constexpr const char* kEvaluate =
    "{name: e, kind: evaluate, model: ./m.gguf, suites: [gsm8k], limit: 3}";

TEST_F(HearthStages, EvaluateCollectsScoresWithTheirIntervals) {
  const auto summary =
      Run("echo \"$@\" > " + (folder_ / "arguments").string() +
              "\nwhile [ \"$1\" != --output ]; do shift; done; mkdir -p \"$2\"; echo x > "
              "\"$2/results.json\"\n"
              "echo '{\"suites\":[{\"suite\":\"gsm8k\",\"score\":0.5,\"low\":0.25,\"high\":0.75,"
              "\"judged\":3,\"categories\":{\"hard\":{\"value\":0.1,\"low\":0,\"high\":0.2}}}]}'\n",
          kEvaluate);
  ASSERT_TRUE(summary) << summary.error().message;
  const Artifact artifact = Made();
  ASSERT_EQ(artifact.figures.size(), 3u);
  EXPECT_EQ(artifact.figures[0].name, "gsm8k");
  EXPECT_EQ(artifact.figures[0].value, 0.5);
  EXPECT_EQ(artifact.figures[0].high, 0.75);
  EXPECT_EQ(artifact.figures[1].name, "gsm8k.categories.hard");
  EXPECT_EQ(artifact.FindOutput("report")->size_bytes, 2);
  const std::string arguments = ReadText(folder_ / "arguments");
  EXPECT_THAT(arguments, HasSubstr("eval gsm8k --model " + (folder_ / "m.gguf").string()));
  EXPECT_THAT(arguments, HasSubstr("--limit 3"));
}

TEST_F(HearthStages, EvaluateGoesOnWithWhatAnEarlierAttemptHas) {
  const std::string script =
      "resume=no; for a; do [ \"$a\" = --resume ] && resume=yes; done\n"
      "while [ \"$1\" != --output ]; do shift; done; mkdir -p \"$2\"; echo x > \"$2/run.json\"\n"
      "if [ $resume = no ]; then echo no model >&2; exit 1; fi\necho '{\"suites\":[]}'\n";
  const auto failed = Run(script, kEvaluate);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "stage e: hearth eval: exit code 1: no model");
  EXPECT_TRUE(Run(script, kEvaluate));
}

TEST_F(HearthStages, BenchKeepsWhatWasPrinted) {
  ASSERT_TRUE(Run("echo '{\"decode_tps\":35.5,\"prefill_tps\":{\"128\":400}}'\n",
                  "{name: b, kind: bench, model: ./m.gguf}"));
  const Artifact artifact = Made();
  ASSERT_EQ(artifact.figures.size(), 2u);
  EXPECT_EQ(artifact.figures[1].name, "prefill_tps.128");
  EXPECT_EQ(artifact.figures[1].value, 400);
}

TEST_F(HearthStages, WhatIsNoJsonIsAnError) {
  const auto result = Run("echo hello\n", "{name: b, kind: bench, model: ./m.gguf}");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "stage b: hearth bench printed no JSON object");
}

}  // namespace
}  // namespace hearth::forge
