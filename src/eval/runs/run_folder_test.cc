#include "eval/runs/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace hearth::eval {
namespace {

using ::testing::HasSubstr;

class RunFolderTest : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static ItemResult Item(const std::string& id, double score) {
    ItemResult item;
    item.suite = "gsm8k";
    item.id = id;
    item.outcome = score == 1 ? "right" : "wrong";
    item.score = score;
    item.answer = "line\nbreak";
    return item;
  }
  void Append(const std::string& bytes) const {
    std::ofstream(folder_ + "/items.jsonl", std::ios::app) << bytes;
  }

  const std::string folder_ =
      ::testing::TempDir() + "run_folder_test_" + std::to_string(::getpid());
  const Json settings_ = {{"model", "m"}, {"temperature", 0.7f}, {"suite.gsm8k", {{"x", 1}}}};
};

TEST_F(RunFolderTest, FinishedItemsAreThereAfterAStop) {
  {
    const auto folder = RunFolder::Open(folder_, settings_, false);
    ASSERT_TRUE(folder) << folder.error().message;
    EXPECT_TRUE((*folder)->Append(Item("1", 1)));
    EXPECT_TRUE((*folder)->Append(Item("2", 0)));
  }
  const auto folder = RunFolder::Open(folder_, settings_, true);
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_EQ((*folder)->num_found(), 2u);
  ASSERT_NE((*folder)->Find("gsm8k", "2"), nullptr);
  EXPECT_EQ((*folder)->Find("gsm8k", "2")->answer, "line\nbreak");
  EXPECT_EQ((*folder)->Find("gsm8k", "3"), nullptr);
  EXPECT_EQ((*folder)->Find("bbh", "2"), nullptr);
}

TEST_F(RunFolderTest, AHalfWrittenLineIsRunAgain) {
  {
    const auto folder = RunFolder::Open(folder_, settings_, false);
    EXPECT_TRUE((*folder)->Append(Item("1", 1)));
  }
  Append("{\"suite\": \"gsm8k\", \"id\": \"2\", \"outc");
  {
    const auto folder = RunFolder::Open(folder_, settings_, true);
    ASSERT_TRUE(folder) << folder.error().message;
    EXPECT_EQ((*folder)->num_found(), 1u);
    EXPECT_TRUE((*folder)->Append(Item("2", 1)));
  }
  const auto folder = RunFolder::Open(folder_, settings_, true);
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_EQ((*folder)->num_found(), 2u);
}

TEST_F(RunFolderTest, ADamagedLineIsNamed) {
  ASSERT_TRUE(RunFolder::Open(folder_, settings_, false));
  Append("nonsense\n");
  const auto folder = RunFolder::Open(folder_, settings_, true);
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("items.jsonl, line 1"));
}

TEST_F(RunFolderTest, AnotherModelSuiteOrOptionIsRefusedByName) {
  ASSERT_TRUE(RunFolder::Open(folder_, settings_, false));
  const auto refuse = [&](const char* key, const Json& value) {
    Json changed = settings_;
    changed[key] = value;
    const auto folder = RunFolder::Open(folder_, changed, true);
    EXPECT_FALSE(folder) << key;
    return folder ? "" : folder.error().message;
  };
  EXPECT_THAT(refuse("model", "n"), HasSubstr("with model \"m\", now it is \"n\""));
  EXPECT_THAT(refuse("temperature", 0.8f), HasSubstr("temperature"));
  EXPECT_THAT(refuse("suite.gsm8k", {{"x", 2}}), HasSubstr("suite.gsm8k"));
  EXPECT_THAT(refuse("suite.bbh", {{"x", 2}}), HasSubstr("suite.bbh not set"));
  Json fewer = settings_;
  fewer.erase("suite.gsm8k");
  EXPECT_FALSE(RunFolder::Open(folder_, fewer, true));
}

TEST_F(RunFolderTest, WithoutResumeARunIsNotTouched) {
  ASSERT_TRUE(RunFolder::Open(folder_, settings_, false));
  const auto folder = RunFolder::Open(folder_, settings_, false);
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("--resume"));
}

TEST_F(RunFolderTest, ResumeOfNothingBegins) {
  EXPECT_TRUE(RunFolder::Open(folder_, settings_, true));
}

TEST_F(RunFolderTest, StoredRunsAreRead) {
  {
    const auto folder = RunFolder::Open(folder_, settings_, false);
    EXPECT_TRUE((*folder)->Append(Item("1", 1)));
    EXPECT_TRUE((*folder)->Write("results.json", "{\"a\": 1}\n"));
  }
  const auto run = ReadRun(folder_);
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->settings["model"], "m");
  EXPECT_EQ(run->results["a"], 1);
  EXPECT_EQ(run->items.size(), 1u);
  const auto none = ReadRun(folder_ + "/nowhere");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("nowhere/run.json"));
}

}  // namespace
}  // namespace hearth::eval
