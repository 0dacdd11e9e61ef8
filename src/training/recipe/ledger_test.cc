#include "training/recipe/ledger.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/sha256.h"
#include "training/recipe/testing_kinds.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using testing::WriteText;

class LedgerTest : public ::testing::Test {
 protected:
  LedgerTest() {
    folder_ =
        fs::path(::testing::TempDir()) /
        (std::string("ledger_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~LedgerTest() override { fs::remove_all(folder_); }

  Ledger Open() {
    auto ledger = Ledger::Open(folder_.string(), true);
    HEARTH_CHECK(ledger.has_value());
    return *std::move(ledger);
  }
  static void SetTime(const std::string& path, int64_t seconds) {
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    HEARTH_CHECK(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  }

  fs::path folder_;
};

Artifact Example() {
  Artifact artifact;
  artifact.key = "sft-0123";
  artifact.kind = "sft";
  artifact.version = 3;
  artifact.parameters = R"({"lora_r":16})";
  artifact.all_parameters = R"({"lora_r":"16","num_threads":"2"})";
  artifact.seed = 9007199254740993;  // more than a double holds
  artifact.inputs = {{"base_model", "", "", "/models/a.gguf", "aa", 12, "Apache-2.0", "somewhere"},
                     {"datasets", "curate-99", "rows", "", "", 0, "", ""}};
  artifact.outputs = {{"model", "model", "model", "cc", 1 << 20}};
  artifact.figures = {{"loss", 1.25, 1.0, 1.5, ""}, {"speed", 3e5, {}, {}, "tokens/s"}};
  artifact.created_at = 1700000000.25;
  artifact.seconds = 12.5;
  artifact.device = "1 x \"GPU\"";
  artifact.num_devices = 1;
  artifact.host = "host";
  artifact.program = "hearth-forge 1";
  return artifact;
}

TEST_F(LedgerTest, GivesBackWhatItWasTold) {
  Ledger ledger = Open();
  ASSERT_TRUE(ledger.PutArtifact(Example()));
  ASSERT_TRUE(ledger.PutArtifact(Example())) << "again";
  const auto found = ledger.FindArtifact("sft-0123");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(ToJson(**found), ToJson(Example()));
  const auto from_json = ArtifactFromJson(ToJson(Example()));
  ASSERT_TRUE(from_json) << from_json.error().message;
  EXPECT_EQ(ToJson(*from_json), ToJson(Example()));
  ASSERT_TRUE(ledger.DropArtifact("sft-0123"));
  EXPECT_FALSE(*ledger.FindArtifact("sft-0123"));
}

TEST_F(LedgerTest, ARunBegunAgainKeepsWhatItMade) {
  Ledger ledger = Open();
  RunRecord run;
  run.name = "r";
  run.identity = "i";
  StageRecord made, under_way;
  made.name = "a";
  made.artifact = "x-1";
  under_way.position = 1;
  under_way.name = "b";
  under_way.artifact = "x-2";
  under_way.reads_from = {0};
  const int64_t id = *ledger.BeginRun(run, {made, under_way});
  made.run = under_way.run = id;
  made.state = RunState::kDone;
  made.seconds = 5;
  under_way.state = RunState::kRunning;
  under_way.seconds = 7;
  ASSERT_TRUE(ledger.UpdateStage(made));
  ASSERT_TRUE(ledger.UpdateStage(under_way));
  made.state = under_way.state = RunState::kWaiting;
  EXPECT_EQ(*ledger.BeginRun(run, {made, under_way}), id);
  const auto stages = *ledger.Stages(id);
  ASSERT_EQ(stages.size(), 2u);
  EXPECT_EQ(stages[0].state, RunState::kDone);
  EXPECT_EQ(stages[0].seconds, 5);
  EXPECT_EQ(stages[1].state, RunState::kWaiting);
  EXPECT_EQ(stages[1].seconds, 7);
  EXPECT_EQ(stages[1].reads_from, std::vector<int>{0});
  EXPECT_EQ((*ledger.FindRun(id))->attempts, 2);
  run.identity = "other";
  EXPECT_NE(*ledger.BeginRun(run, {}), id);
  EXPECT_EQ(ledger.Runs()->size(), 2u);
}

// A hash may only be remembered while nothing tells that the file is another.
TEST_F(LedgerTest, AChangedFileIsReadAgain) {
  Ledger ledger = Open();
  const std::string path = folder_ / "file";
  WriteText(path, "one");
  SetTime(path, 1000);
  EXPECT_EQ(*ledger.HashOfFile(path), Sha256Of("one"));
  WriteText(path, "two");
  SetTime(path, 1000);
  EXPECT_EQ(*ledger.HashOfFile(path), Sha256Of("one"))
      << "remembered: size, time and inode are equal";
  SetTime(path, 1001);
  EXPECT_EQ(*ledger.HashOfFile(path), Sha256Of("two"));
  WriteText(path, "three");
  SetTime(path, 1001);
  EXPECT_EQ(*ledger.HashOfFile(path), Sha256Of("three")) << "another size";
  WriteText(path + ".new", "four!");
  SetTime(path + ".new", 1001);
  fs::rename(path + ".new", path);
  EXPECT_EQ(*ledger.HashOfFile(path), Sha256Of("four!")) << "another inode";
  // Changed just now: the next change might bear the same time.
  WriteText(path, "fresh");
  EXPECT_EQ(*ledger.HashOfFile(path), Sha256Of("fresh"));
  struct stat status;
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  WriteText(path, "FRESH");
  const timespec times[2] = {status.st_mtim, status.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  EXPECT_EQ(*ledger.HashOfFile(path), Sha256Of("FRESH"));
}

TEST_F(LedgerTest, ANewerSchemaIsRefused) {
  { Open(); }
  {
    const char* newer[] = {"", "", ""};
    // The version of today is 1; two steps that change nothing lead to 3.
    auto database = Database::Open(folder_ / "ledger.db", false, newer);
    ASSERT_TRUE(database) << database.error().message;
  }
  const auto ledger = Ledger::Open(folder_, true);
  ASSERT_FALSE(ledger);
  EXPECT_EQ(ledger.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(ledger.error().message.find("schema version 3; this program knows versions up to 1"),
            std::string::npos)
      << ledger.error().message;
}

TEST_F(LedgerTest, WhatIsNoDatabaseIsAnError) {
  WriteText(folder_ / "ledger.db", std::string(5000, 'x'));
  const auto ledger = Ledger::Open(folder_, true);
  ASSERT_FALSE(ledger);
  EXPECT_EQ(ledger.error().code, ErrorCode::kCorrupt);
  fs::remove(folder_ / "ledger.db");
  const auto absent = Ledger::Open(folder_, false);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
}

// The migration of a transaction that fails leaves the version it found.
TEST_F(LedgerTest, AMigrationHappensWholeOrNotAtAll) {
  const char* broken[] = {"CREATE TABLE a (x INTEGER); CREATE TABLE a (x INTEGER)"};
  EXPECT_FALSE(Database::Open(folder_ / "x.db", true, broken));
  const char* good[] = {"CREATE TABLE a (x INTEGER)"};
  EXPECT_TRUE(Database::Open(folder_ / "x.db", true, good));
}

}  // namespace
}  // namespace hearth::forge
