// The real data of the code suites: every canonical solution of HumanEval passes, and tasks of
// MultiPL-E pass with solutions written by hand, so that a failure is the model's and not ours.

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <thread>

#include "eval/scorers/code_runner.h"
#include "eval/suites/suite_data.h"

namespace hearth::eval {
namespace {

std::optional<std::vector<Json>> Rows(const std::string& name) {
  const char* folder = std::getenv("HEARTH_DATA");
  const std::string path = std::string(folder != nullptr ? folder : "../shared/data") + "/" + name;
  if (!std::filesystem::exists(path)) return std::nullopt;
  auto rows = ReadJsonLines(path);
  EXPECT_TRUE(rows) << rows.error().message;
  return rows ? std::optional(std::move(*rows)) : std::nullopt;
}

#define NEED(rows, name)        \
  const auto rows = Rows(name); \
  if (!rows) GTEST_SKIP() << "SKIPPED: no " << (name) << " in HEARTH_DATA"

#define NEED_RUNNER(runner, language)               \
  const auto runner = CodeRunner::Create(language); \
  if (!runner) GTEST_SKIP() << "SKIPPED: " << runner.error().message

CodeTask TaskOf(const Json& row, Language language) {
  CodeTask task{language, row["prompt"], row["test"], ""};
  task.function = language == Language::kPython ? row["entry_point"].get<std::string>()
                                                : FunctionOfTests(task.tests);
  return task;
}

TEST(HumanEvalData, EveryCanonicalSolutionPasses) {
  NEED(rows, "humaneval.jsonl");
  NEED_RUNNER(runner, Language::kPython);
  ASSERT_EQ(rows->size(), 164u);
  std::atomic<size_t> next = 0;
  std::atomic<int> num_passed = 0;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (size_t at; (at = next++) < rows->size();) {
        const Json& row = (*rows)[at];
        const std::string answer = "```python\n" + row["prompt"].get<std::string>() +
                                   row["canonical_solution"].get<std::string>() + "\n```";
        const auto verdict = (*runner)->Run(TaskOf(row, Language::kPython), answer);
        const std::lock_guard lock(mutex);
        ASSERT_TRUE(verdict) << verdict.error().message;
        EXPECT_EQ(verdict->outcome, CodeOutcome::kPassed)
            << row["task_id"] << ": " << verdict->detail;
        num_passed += verdict->outcome == CodeOutcome::kPassed ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_passed, 164);
}

// As a bare continuation of the prompt, too.
TEST(HumanEvalData, SolutionsPassAsBodies) {
  NEED(rows, "humaneval.jsonl");
  NEED_RUNNER(runner, Language::kPython);
  for (size_t at = 0; at < rows->size(); at += 16) {
    const Json& row = (*rows)[at];
    const std::string answer = "```\n" + row["canonical_solution"].get<std::string>() + "\n```";
    const auto verdict = (*runner)->Run(TaskOf(row, Language::kPython), answer);
    ASSERT_TRUE(verdict);
    EXPECT_EQ(verdict->outcome, CodeOutcome::kPassed) << row["task_id"] << ": " << verdict->detail;
  }
}

TEST(HumanEvalData, AFunctionThatReturnsNothingFailsEveryTask) {
  NEED(rows, "humaneval.jsonl");
  NEED_RUNNER(runner, Language::kPython);
  for (size_t at = 0; at < rows->size(); at += 16) {
    const CodeTask task = TaskOf((*rows)[at], Language::kPython);
    const auto verdict =
        (*runner)->Run(task, "```\ndef " + task.function + "(*args):\n    return None\n```");
    ASSERT_TRUE(verdict);
    EXPECT_NE(verdict->outcome, CodeOutcome::kPassed) << (*rows)[at]["task_id"];
  }
}

struct Solution {
  const char* task;
  const char* right;
  const char* wrong;
};

void CheckSolutions(const std::vector<Json>& rows, const CodeRunner& runner, Language language,
                    const std::vector<Solution>& solutions) {
  for (const Solution& solution : solutions) {
    bool found = false;
    for (const Json& row : rows) {
      if (row["task_id"] != solution.task) continue;
      found = true;
      const CodeTask task = TaskOf(row, language);
      const auto right = runner.Run(task, std::string("```\n") + solution.right + "\n```");
      ASSERT_TRUE(right) << right.error().message;
      EXPECT_EQ(right->outcome, CodeOutcome::kPassed) << solution.task << ": " << right->detail;
      const auto wrong = runner.Run(task, std::string("```\n") + solution.wrong + "\n```");
      ASSERT_TRUE(wrong);
      EXPECT_EQ(wrong->outcome, CodeOutcome::kWrong) << solution.task << ": " << wrong->detail;
    }
    EXPECT_TRUE(found) << solution.task << " is not in the data";
  }
}

TEST(MultiPlEData, CppSolutionsPass) {
  NEED(rows, "humaneval_cpp.jsonl");
  NEED_RUNNER(runner, Language::kCpp);
  ASSERT_EQ(rows->size(), 161u);
  CheckSolutions(
      *rows, **runner, Language::kCpp,
      {{"HumanEval_23_strlen", "long string_length(std::string s) { return s.size(); }",
        "long string_length(std::string s) { return 1 + s.size(); }"},
       {"HumanEval_89_encrypt",
        "#include <string>\nusing namespace std;\nstring encrypt(string s) {\n  for (char& c : s) "
        "c = 'a' + (c - 'a' + 4) % 26;\n  return s;\n}\nint main() { return 0; }",
        "std::string encrypt(std::string s) { return s; }"},
       {"HumanEval_103_rounded_avg",
        "Union_std_string_long rounded_avg(long n, long m) {\n  if (n > m) return "
        "Union_std_string_long(-1L);\n  const double mean = (n + m) / 2.0;\n  long r = "
        "std::nearbyint(mean);\n  std::string bits;\n  for (; r > 0; r /= 2) bits = "
        "char('0' + r % 2) + bits;\n  return Union_std_string_long(\"0b\" + bits);\n}",
        "Union_std_string_long rounded_avg(long n, long m) {\n  return "
        "Union_std_string_long(-2L);\n}"}});
}

TEST(MultiPlEData, JavaScriptSolutionsPass) {
  NEED(rows, "humaneval_js.jsonl");
  NEED_RUNNER(runner, Language::kJavaScript);
  ASSERT_EQ(rows->size(), 161u);
  CheckSolutions(
      *rows, **runner, Language::kJavaScript,
      {{"HumanEval_23_strlen", "const strlen = (s) => s.length;",
        "function strlen(s) { return 7; }"},
       {"HumanEval_89_encrypt",
        "function encrypt(s) {\n  const assert = require('assert');\n  return [...s].map(c => "
        "String.fromCharCode((c.charCodeAt(0) - 97 + 4) % 26 + 97)).join('');\n}",
        "function encrypt(s) { return s; }"}});
}

}  // namespace
}  // namespace hearth::eval
