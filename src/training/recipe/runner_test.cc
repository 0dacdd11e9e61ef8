#include "training/recipe/runner.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <stdexcept>

#include "training/recipe/testing_kinds.h"
#include "training/recipe/workdir.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using testing::ReadText;
using testing::WriteText;

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() {
    folder_ =
        fs::path(::testing::TempDir()) /
        (std::string("runner_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    WriteText(folder_ / "hello.txt", "hello");
    WriteText(folder_ / "world.txt", "wide world");
    recipe_ = R"(
name: test
files:
  hello: {path: hello.txt, licence: MIT}
stages:
  - {name: joined, kind: join, texts: [hello, ./world.txt]}
  - {name: counted, kind: count, text: joined, steps: 8, seed: 3}
  - {name: other, kind: count, text: hello, steps: 2}
)";
  }
  ~RunnerTest() override { fs::remove_all(folder_); }

  Recipe Parse() {
    RecipeOptions options;
    options.folder = folder_;
    auto recipe = ParseRecipe(recipe_, {&join_, &count_}, options);
    EXPECT_TRUE(recipe) << recipe.error().message;
    return recipe ? *std::move(recipe) : Recipe();
  }
  RunOptions Options(const std::string& workdir = "work") {
    RunOptions options;
    options.workdir = folder_ / workdir;
    options.program = "test 1";
    return options;
  }
  Result<RunSummary> Run(const RunOptions& options, const RunEvents& events = {}) {
    return RunRecipe(Parse(), options, events);
  }
  std::string Output(const std::string& stage, const std::string& file,
                     const std::string& workdir = "work") {
    const Recipe recipe = Parse();
    const auto plan = MakePlan(recipe, folder_ / workdir, nullptr, {});
    return ReadText(folder_ / workdir / "artifacts" /
                    plan->stages[static_cast<size_t>(recipe.FindStage(stage))].key / file);
  }
  std::vector<StageRecord> Stages(int64_t run) {
    return *Ledger::Open(folder_ / "work", false)->Stages(run);
  }
  // Runs in a child process that `arrange` may have killed. Returns the signal that ended it.
  int RunInChild(const std::function<void(RunEvents&)>& arrange) {
    const pid_t child = fork();
    if (child == 0) {
      RunEvents events;
      arrange(events);
      static_cast<void>(Run(Options(), events));
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

  fs::path folder_;
  std::string recipe_;
  testing::JoinKind join_;
  testing::CountKind count_;
};

TEST_F(RunnerTest, MakesEveryStageAndRecordsIt) {
  const auto summary = Run(Options());
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary->num_made, 3);
  EXPECT_EQ(Output("joined", "text.txt"), "hello, wide world");
  EXPECT_EQ(Output("counted", "model.bin").size(), 8u);
  const auto stages = Stages(summary->run);
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_EQ(stages[1].state, RunState::kDone);
  EXPECT_EQ(stages[1].reads_from, std::vector<int>{0});
  Ledger ledger = *Ledger::Open(folder_ / "work", false);
  const auto artifact = *ledger.FindArtifact(stages[1].artifact);
  ASSERT_TRUE(artifact);
  EXPECT_EQ(artifact->seed, 3);
  EXPECT_EQ(artifact->device, "2 x Test GPU");
  EXPECT_EQ(artifact->program, "test 1");
  EXPECT_EQ(artifact->figures.size(), 2u);
  EXPECT_EQ(artifact->inputs[0].artifact, stages[0].artifact);
  const auto joined = *ledger.FindArtifact(stages[0].artifact);
  EXPECT_EQ(joined->inputs[0].licence, "MIT");
  EXPECT_TRUE(fs::is_empty(folder_ / "work" / "working"));
  EXPECT_NE(Output("counted", "stage.log").find("began at step 0"), std::string::npos);
}

TEST_F(RunnerTest, TheSecondTimeDoesNothing) {
  const auto first = Run(Options());
  const auto before = Stages(first->run);
  const auto second = Run(Options());
  ASSERT_TRUE(second);
  EXPECT_EQ(second->run, first->run);
  EXPECT_EQ(second->num_made, 0);
  EXPECT_EQ(second->num_reused, 3);
  EXPECT_EQ(join_.runs, 1);
  EXPECT_EQ(count_.runs, 2);
  const auto after = Stages(first->run);
  EXPECT_EQ(after[1].started_at, before[1].started_at);
  EXPECT_EQ(after[1].state, RunState::kDone);
}

TEST_F(RunnerTest, OnlyWhatDependsOnAChangeIsMadeAgain) {
  ASSERT_TRUE(Run(Options()));
  WriteText(folder_ / "world.txt", "small world");
  const auto changed = Run(Options());
  EXPECT_EQ(changed->num_made, 2) << "joined and counted";
  EXPECT_EQ(changed->num_reused, 1);
  // A number of threads makes no other artifact; a parameter does.
  recipe_.replace(recipe_.find("kind: join"), 10, "num_threads: 4, kind: join");
  EXPECT_EQ(Run(Options())->num_made, 0);
  recipe_.replace(recipe_.find("steps: 2"), 8, "steps: 3");
  EXPECT_EQ(Run(Options())->num_made, 1);
  join_.set_version(2);
  EXPECT_EQ(Run(Options())->num_made, 2);
  // The name of a stage or where a file lies is no content.
  fs::rename(folder_ / "hello.txt", folder_ / "moved.txt");
  recipe_.replace(recipe_.find("path: hello.txt"), 15, "path: moved.txt");
  EXPECT_EQ(Run(Options())->num_made, 0);
}

// The promise: killed anywhere, the next call goes on, and what comes out is the same.
TEST_F(RunnerTest, GoesOnAfterAKillAnywhere) {
  ASSERT_TRUE(Run(Options("whole")));
  const std::string expected = Output("counted", "model.bin", "whole");
  const auto die = [] { kill(getpid(), SIGKILL); };

  EXPECT_EQ(RunInChild([&](RunEvents& events) {
              events.on_plan = [&](const Recipe&, const Plan&) { die(); };
            }),
            SIGKILL);
  EXPECT_EQ(RunInChild([&](RunEvents& events) {
              events.on_stage_end = [&](const RecipeStage& stage, const StageRecord&,
                                        const Artifact*) {
                if (stage.name == "joined") die();
              };
            }),
            SIGKILL);
  EXPECT_EQ(RunInChild([&](RunEvents&) {
              count_.on_step = [&](int64_t step) {
                if (step == 3) die();
              };
            }),
            SIGKILL);
  EXPECT_EQ(RunInChild([&](RunEvents&) {
              count_.on_step = [&](int64_t step) {
                if (step == 6) die();
              };
            }),
            SIGKILL);
  count_.steps_done = 0;
  const auto summary = Run(Options());
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary->num_reused, 1);
  EXPECT_EQ(summary->num_made, 2);
  EXPECT_EQ(count_.steps_done, 2 + 2) << "two left of counted, two of other";
  EXPECT_EQ(Output("counted", "model.bin"), expected);
  EXPECT_NE(Output("counted", "stage.log").find("began at step 6"), std::string::npos);
  Ledger ledger = *Ledger::Open(folder_ / "work", false);
  EXPECT_EQ(ledger.Runs()->size(), 1u) << "one run, several attempts";
  EXPECT_EQ(ledger.Runs()->front().state, RunState::kDone);
  EXPECT_EQ(Stages(summary->run)[0].state, RunState::kDone);
}

TEST_F(RunnerTest, AnArtifactWithoutItsLedgerIsTakenUp) {
  ASSERT_TRUE(Run(Options()));
  for (const char* file : {"ledger.db", "ledger.db-wal", "ledger.db-shm"})
    fs::remove(folder_ / "work" / file);
  const auto summary = Run(Options());
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->num_made, 0);
  Ledger ledger = *Ledger::Open(folder_ / "work", false);
  const auto artifact = *ledger.FindArtifact(Stages(summary->run)[1].artifact);
  ASSERT_TRUE(artifact);
  EXPECT_EQ(artifact->figures.size(), 2u);
}

TEST_F(RunnerTest, ADamagedArtifactIsMadeAgain) {
  ASSERT_TRUE(Run(Options()));
  const Recipe recipe = Parse();
  const auto plan = MakePlan(recipe, folder_ / "work", nullptr, {});
  const fs::path model = folder_ / "work" / "artifacts" / plan->stages[1].key / "model.bin";
  WriteText(model, "short");
  EXPECT_EQ(Run(Options())->num_made, 1) << "its size tells";
  std::string bytes = ReadText(model);
  bytes[0] ^= 1;
  WriteText(model, bytes);
  EXPECT_EQ(Run(Options())->num_made, 0) << "its size does not tell";
  RunOptions verify = Options();
  verify.plan.verify = true;
  EXPECT_EQ(Run(verify)->num_made, 1) << "its hash tells";
}

TEST_F(RunnerTest, FromMakesAStageAndItsDependentsAgain) {
  ASSERT_TRUE(Run(Options()));
  RunOptions from = Options();
  from.plan.from = "joined";
  EXPECT_EQ(Run(from)->num_made, 2);
  // Killed meanwhile, the old artifact does not count as done.
  from.plan.from = "counted";
  const pid_t child = fork();
  if (child == 0) {
    count_.on_step = [](int64_t) { kill(getpid(), SIGKILL); };
    static_cast<void>(Run(from));
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(Run(Options())->num_made, 1);
  from.plan.from = "conuted";
  const auto unknown = Run(from);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message,
            "--from conuted: the recipe has no such stage; the nearest is counted");
}

TEST_F(RunnerTest, OnlyMakesOneStage) {
  RunOptions only = Options();
  only.plan.only = "counted";
  const auto early = Run(only);
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().message, "--only counted: it reads from joined, which is not made yet");
  only.plan.only = "joined";
  EXPECT_EQ(Run(only)->num_made, 1);
  only.plan.only = "counted";
  const auto late = Run(only);
  ASSERT_TRUE(late);
  EXPECT_EQ(late->num_made, 1);
  EXPECT_EQ(Stages(late->run)[2].state, RunState::kSkipped);
}

TEST_F(RunnerTest, AnErrorNamesTheStageAndTheNextCallGoesOn) {
  count_.on_step = [](int64_t step) {
    if (step == 5) throw std::runtime_error("the library threw");
  };
  const auto failed = Run(Options());
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kInternal);
  EXPECT_EQ(failed.error().message, "stage counted: the library threw");
  EXPECT_EQ(Stages(1)[1].state, RunState::kFailed);
  EXPECT_EQ(Stages(1)[1].error, "the library threw");
  EXPECT_EQ(Stages(1)[2].state, RunState::kWaiting);
  count_.on_step = nullptr;
  count_.steps_done = 0;
  EXPECT_EQ(Run(Options())->num_made, 2);
  EXPECT_EQ(count_.steps_done, 3 + 2);
}

TEST_F(RunnerTest, StopsWhenAsked) {
  std::atomic<bool> cancelled = false;
  RunOptions options = Options();
  options.cancelled = &cancelled;
  count_.on_step = [&](int64_t step) { cancelled = step == 4; };
  const auto stopped = Run(options);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(Ledger::Open(folder_ / "work", false)->Runs()->front().state, RunState::kStopped);
  count_.on_step = nullptr;
  cancelled = false;
  EXPECT_TRUE(Run(options));
}

TEST_F(RunnerTest, TwoAtOnceAreToldApart) {
  const auto held = Workdir::Lock(folder_ / "work", {.holder = "running a.yaml"});
  ASSERT_TRUE(held);
  const auto refused = Run(Options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(refused.error().message.find("is in use by process " + std::to_string(getpid()) +
                                         " (running a.yaml)"),
            std::string::npos)
      << refused.error().message;
  EXPECT_TRUE(HolderOf(folder_ / "work"));
  std::atomic<bool> cancelled = true;
  RunOptions waiting = Options();
  waiting.wait = true;
  waiting.cancelled = &cancelled;
  EXPECT_EQ(Run(waiting).error().code, ErrorCode::kCancelled);
}

TEST_F(RunnerTest, WaitsForAnother) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto held = Workdir::Lock(folder_ / "work", {.holder = "the child"});
    [[maybe_unused]] const auto written = write(pipe_fds[1], "x", 1);
    usleep(200000);
    _exit(held ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(read(pipe_fds[0], &byte, 1), 1);
  RunOptions waiting = Options();
  waiting.wait = true;
  EXPECT_TRUE(Run(waiting));
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(HolderOf(folder_ / "work"));
}

TEST_F(RunnerTest, OutputsAreCopiedWhereTheRecipeWants) {
  recipe_.replace(recipe_.find("steps: 8"), 8, "steps: 8, output_dir: out/kit");
  ASSERT_TRUE(Run(Options()));
  EXPECT_EQ(ReadText(folder_ / "out/kit/model.bin"), Output("counted", "model.bin"));
  EXPECT_TRUE(fs::exists(folder_ / "out/kit/counted.json"));
  fs::remove_all(folder_ / "out");
  EXPECT_EQ(Run(Options())->num_made, 0);
  EXPECT_TRUE(fs::exists(folder_ / "out/kit/model.bin")) << "put there again";
}

TEST_F(RunnerTest, WrongInputFilesAreErrorsThatNameTheLine) {
  fs::remove(folder_ / "world.txt");
  auto result = Run(Options());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message,
            "line 6: texts: there is no file " + (folder_ / "world.txt").string());
  WriteText(folder_ / "world.txt", "x");
  recipe_.replace(recipe_.find("licence: MIT"), 12, "sha256: " + std::string(64, '0'));
  result = Run(Options());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(result.error().message.find("the recipe wants 0000"), std::string::npos);
}

// A folder's name for its contents: its files' names and bytes, wherever it lies.
TEST_F(RunnerTest, AFolderIsAnInputByItsFiles) {
  fs::create_directories(folder_ / "model/deep");
  WriteText(folder_ / "model/config.json", "{}");
  WriteText(folder_ / "model/deep/weights", "w");
  const auto hash = [&](const char* name) {
    return HashPath(folder_ / name,
                    [](const std::string& path) { return Result<std::string>(ReadText(path)); })
        ->sha256;
  };
  const std::string before = hash("model");
  fs::rename(folder_ / "model", folder_ / "moved");
  EXPECT_EQ(hash("moved"), before);
  fs::rename(folder_ / "moved/config.json", folder_ / "moved/config2.json");
  EXPECT_NE(hash("moved"), before);
}

}  // namespace
}  // namespace hearth::forge
