#include "training/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "training/data/testing_chat.h"

namespace hearth::forge {
namespace {

using testing::HasSubstr;

std::string WriteRows(const std::string& name, int begin, int end) {
  const std::string path = testing::TempDir() + "hearth_dataset_" + name;
  std::ofstream file(path);
  for (int i = begin; i < end; ++i)
    file << R"({"prompt":"q)" << i << R"(","completion":"a)" << i << "\"}\n";
  return path;
}

std::vector<std::string> Shown(const TokenStore& store) {
  std::vector<std::string> rows;
  for (int64_t row = 0; row < store.num_rows(); ++row) rows.push_back(ShowRow(store.Row(row)));
  return rows;
}

TEST(Dataset, IsTheSameForAnyNumberOfThreads) {
  const std::string path = WriteRows("threads", 0, 2000);
  const ChatTokenizer chat = TestChat();
  auto one = ReadDataset(chat, {.files = {path}, .held_out = 0.2, .num_threads = 1});
  auto three = ReadDataset(chat, {.files = {path}, .held_out = 0.2, .num_threads = 3});
  ASSERT_TRUE(one && three);
  EXPECT_EQ(Shown(one->train), Shown(three->train));
  EXPECT_EQ(Shown(one->held_out), Shown(three->held_out));
  EXPECT_EQ(one->train_statistics.tokens, one->train.num_tokens());
  EXPECT_EQ(one->train.num_rows() + one->held_out.num_rows(), 2000);
}

TEST(Dataset, TheHeldOutShareDoesNotDependOnWhatElseIsThere) {
  const ChatTokenizer chat = TestChat();
  auto all = ReadDataset(chat, {.files = {WriteRows("all", 0, 1000)}, .held_out = 0.1});
  auto half = ReadDataset(
      chat, {.files = {WriteRows("b", 500, 1000), WriteRows("a", 250, 750)}, .held_out = 0.1});
  ASSERT_TRUE(all && half);
  EXPECT_NEAR(static_cast<double>(all->held_out.num_rows()), 100, 35);
  const auto kept = Shown(all->held_out), others = Shown(half->held_out);
  const std::set<std::string> whole(kept.begin(), kept.end());
  for (const std::string& row : others) EXPECT_TRUE(whole.contains(row)) << row;
  EXPECT_EQ(half->train.row_source(0), 0);
  EXPECT_EQ(half->train.row_source(half->train.num_rows() - 1), 1);
}

TEST(Dataset, CountsWhatIsLeftOutAndWhy) {
  const std::string path = testing::TempDir() + "hearth_dataset_faults";
  std::ofstream(path) << R"({"prompt":"a","completion":"b"})"
                      << "\n{\n"
                      << R"({"prompt":"c"})"
                      << "\n"
                      << R"({"prompt":"too long to hold an answer","completion":"b"})"
                      << "\n"
                      << R"({"prompt":"d"})"
                      << "\n";
  auto data = ReadDataset(TestChat(), {.files = {path}, .rows = {.max_tokens = 24}});
  ASSERT_TRUE(data) << data.error().message;
  const DataStatistics& statistics = data->train_statistics;
  EXPECT_EQ(statistics.rows, 1);
  EXPECT_EQ(statistics.learned, 2);
  EXPECT_EQ(statistics.num_left_out(), 4);
  EXPECT_EQ(statistics.left_out.at("no message is the assistant's answer"), 2);
  EXPECT_EQ(statistics.first_left_out.at("no message is the assistant's answer"), path + ":3");
  EXPECT_EQ(statistics.left_out.at("nothing to learn within 24 tokens"), 1);
}

TEST(Dataset, ErrorsNameWhatIsWrong) {
  const ChatTokenizer chat = TestChat();
  EXPECT_THAT(ReadDataset(chat, {}).error().message, HasSubstr("no data files"));
  EXPECT_THAT(ReadDataset(chat, {.files = {"absent.jsonl"}}).error().message,
              HasSubstr("absent.jsonl"));
  const std::string path = testing::TempDir() + "hearth_dataset_unusable";
  std::ofstream(path) << R"({"prompt":"c"})"
                      << "\n";
  EXPECT_THAT(ReadDataset(chat, {.files = {path}}).error().message,
              HasSubstr("1 of them: no message is the assistant's answer (first at " + path));
  EXPECT_THAT(ReadDataset(chat, {.files = {path}, .held_out = 1}).error().message,
              HasSubstr("held-out share"));
}

}  // namespace
}  // namespace hearth::forge
