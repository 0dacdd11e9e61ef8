#include "eval/runs/runner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "eval/models/backend_answerer.h"
#include "eval/testing/scripted_backend.h"

namespace hearth::eval {
namespace {

using ::hearth::testing::ScriptedBackend;

// Item i is right when the answer is i, doubled.
class Doubling : public QuestionSuite {
 public:
  explicit Doubling(size_t size, int max_parallel = 0) : size_(size) {
    info_.name = "doubling";
    info_.max_parallel = max_parallel;
  }
  const SuiteInfo& info() const override { return info_; }
  size_t size() const override { return size_; }
  std::string id(size_t item) const override { return std::to_string(item); }

 protected:
  Question Ask(size_t item, const Answerer&) const override {
    Question question;
    ChatMessage message;
    message.role = "user";
    message.content = std::to_string(item);
    question.prompt.messages.push_back(message);
    return question;
  }
  Result<Scored> Score(size_t item, const std::string& answer) const override {
    Scored scored;
    scored.score = answer == std::to_string(2 * item) ? 1 : 0;
    scored.outcome = scored.score == 1 ? "right" : "wrong";
    return scored;
  }

 private:
  SuiteInfo info_;
  size_t size_;
};

std::string Double(const std::string& prompt) {
  return std::to_string(2 * std::atoi(prompt.c_str() + sizeof("user: ") - 1));
}

class RunnerTest : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::unique_ptr<RunFolder> Open(bool resume) const {
    auto folder = RunFolder::Open(folder_, {{"model", "m"}}, resume);
    EXPECT_TRUE(folder) << folder.error().message;
    return folder ? std::move(*folder) : nullptr;
  }
  const std::string folder_ = ::testing::TempDir() + "runner_test_" + std::to_string(::getpid());
};

TEST_F(RunnerTest, ItemsRunManyAtATimeAndComeInOrder) {
  ScriptedBackend backend(Double);
  BackendAnswerer model(backend);
  RunnerOptions options;
  options.parallel = 8;
  size_t last_done = 0;
  options.on_progress = [&](size_t done, size_t total) {
    EXPECT_GE(done, last_done);
    EXPECT_EQ(total, 40u);
    last_done = done;
  };
  const auto results = RunSuite(Doubling(40), model, nullptr, options);
  ASSERT_TRUE(results) << results.error().message;
  ASSERT_EQ(results->size(), 40u);
  for (size_t i = 0; i < 40; ++i) {
    EXPECT_EQ((*results)[i].id, std::to_string(i));
    EXPECT_EQ((*results)[i].score, 1);
  }
  EXPECT_EQ(last_done, 40u);
  EXPECT_GT(backend.most_running(), 1) << "one after the other";
  EXPECT_LE(backend.most_running(), 8);
}

TEST_F(RunnerTest, ASuiteMayAllowFewerAtATime) {
  ScriptedBackend backend(Double);
  BackendAnswerer model(backend);
  ASSERT_TRUE(RunSuite(Doubling(10, /*max_parallel=*/1), model, nullptr, {}));
  EXPECT_EQ(backend.most_running(), 1);
}

TEST_F(RunnerTest, WhatIsFinishedIsNotRunAgain) {
  ScriptedBackend backend(Double);
  BackendAnswerer model(backend);
  backend.fail_after = 12;
  RunnerOptions options;
  options.parallel = 4;
  {
    const auto folder = Open(false);
    const auto results = RunSuite(Doubling(30), model, folder.get(), options);
    ASSERT_FALSE(results);
    EXPECT_EQ(results.error().code, ErrorCode::kUnavailable);
    EXPECT_EQ(results.error().message, "the model is gone");
  }
  EXPECT_EQ(backend.num_requests(), 12);
  backend.fail_after = -1;
  const auto folder = Open(true);
  EXPECT_EQ(folder->num_found(), 12u);
  const auto results = RunSuite(Doubling(30), model, folder.get(), options);
  ASSERT_TRUE(results) << results.error().message;
  EXPECT_EQ(backend.num_requests(), 30) << "items were run twice";
  for (const ItemResult& item : *results) EXPECT_EQ(item.score, 1) << item.id;
}

TEST_F(RunnerTest, AStopLeavesWholeItemsOnly) {
  ScriptedBackend backend(Double);
  std::atomic<int> num_done = 0;
  const StopCheck stop = [&] { return num_done >= 5; };
  BackendAnswerer model(backend, stop);
  const auto folder = Open(false);
  RunnerOptions options;
  options.parallel = 2;
  options.stop = stop;
  options.on_progress = [&](size_t done, size_t) { num_done = static_cast<int>(done); };
  const auto results = RunSuite(Doubling(100), model, folder.get(), options);
  ASSERT_FALSE(results);
  EXPECT_EQ(results.error().code, ErrorCode::kCancelled);
  const auto again = Open(true);
  EXPECT_GE(again->num_found(), 5u);
  EXPECT_LT(again->num_found(), 10u);
}

}  // namespace
}  // namespace hearth::eval
