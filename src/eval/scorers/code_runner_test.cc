// What becomes of code that is right, wrong, broken or hostile, in each language.

#include "eval/scorers/code_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth::eval {
namespace {

using ::testing::HasSubstr;

class CodeRunnerTest : public ::testing::Test {
 protected:
  CodeVerdict Run(Language language, const CodeTask& task, const std::string& answer) {
    const auto runner = CodeRunner::Create(language);
    if (!runner) {
      skipped_ = runner.error().message;
      return {};
    }
    const auto verdict = (*runner)->Run(task, answer);
    EXPECT_TRUE(verdict) << verdict.error().message;
    return verdict.value_or(CodeVerdict{});
  }
  CodeVerdict Python(const std::string& code) {
    return Run(
        Language::kPython,
        {Language::kPython, "def f(x):\n    \"\"\" twice \"\"\"\n",
         "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\n",
         "f"},
        "```python\n" + code + "\n```");
  }
  CodeVerdict Cpp(const std::string& code) {
    return Run(
        Language::kCpp,
        {Language::kCpp, "#include<assert.h>\n#include<vector>\nlong f(long n) {\n",
         "}\nint main() {\n    auto candidate = f;\n    assert(candidate((2)) == (4));\n}\n", "f"},
        "```cpp\n" + code + "\n```");
  }
  CodeVerdict JavaScript(const std::string& code) {
    return Run(
        Language::kJavaScript,
        {Language::kJavaScript, "//twice\nfunction f(n){\n",
         "const assert = require('node:assert');\n\nfunction test() {\n  let candidate = f;\n"
         "  assert.deepEqual(candidate(2),4);\n}\n\ntest();",
         "f"},
        "```js\n" + code + "\n```");
  }
  std::string skipped_;
};

#define EXPECT_OUTCOME(verdict_expression, wanted)                              \
  do {                                                                          \
    const CodeVerdict verdict = (verdict_expression);                           \
    if (!skipped_.empty()) GTEST_SKIP() << "SKIPPED: " << skipped_;             \
    EXPECT_STREQ(CodeOutcomeName(verdict.outcome), (wanted)) << verdict.detail; \
  } while (false)

TEST_F(CodeRunnerTest, RightPythonPasses) {
  EXPECT_OUTCOME(Python("def f(x):\n    return 2 * x"), "passed");
  EXPECT_OUTCOME(Python("    return 2 * x"), "passed");
  // An example below it is not run, and what it would read is not missed.
  EXPECT_OUTCOME(
      Python("def f(x):\n    return 2 * x\nif __name__ == '__main__':\n    print(f(int(input())))"),
      "passed");
  EXPECT_OUTCOME(Python("def f(x):\n    return 2 * x\nprint(f(3))"), "passed");
}

TEST_F(CodeRunnerTest, FailuresOfPythonAreToldApart) {
  EXPECT_OUTCOME(Python("def f(x):\n    return x"), "wrong");
  EXPECT_OUTCOME(Python("def f(x):\n    return undefined_name"), "crash");
  EXPECT_OUTCOME(Python("def f(x):\n    return ("), "syntax");
  EXPECT_OUTCOME(Python("def f(x):\n    return bytearray(1 << 40)"), "memory");
  EXPECT_OUTCOME(Python("def f(x):\n    print('x' * 10**6)\n    return 2 * x"), "output");
  EXPECT_OUTCOME(Python("def g(x):\n    return 2 * x"), "no_code");
}

TEST_F(CodeRunnerTest, LeavingEarlyIsNoPass) {
  EXPECT_OUTCOME(Python("import sys\ndef f(x):\n    sys.exit(0)"), "crash");
  EXPECT_OUTCOME(Python("import os\ndef f(x):\n    return x\nos._exit(0)"), "crash");
  EXPECT_OUTCOME(Cpp("#include <cstdlib>\nlong f(long n) { std::exit(0); }"), "crash");
  EXPECT_OUTCOME(JavaScript("function f(n){ process.exit(0); }"), "crash");
}

TEST_F(CodeRunnerTest, CppIsCompiledAndRun) {
  EXPECT_OUTCOME(Cpp("long f(long n) { return 2 * n; }"), "passed");
  EXPECT_OUTCOME(Cpp("long f(long n) { return 2 * n; }\nint main() { return 1; }"), "passed");
  EXPECT_OUTCOME(Cpp("long f(long n) { return n; }"), "wrong");
  EXPECT_OUTCOME(Cpp("long f(long n) { return m; }"), "syntax");
  EXPECT_OUTCOME(Cpp("long f(long n) { return *(volatile long*)nullptr; }"), "crash");
}

TEST_F(CodeRunnerTest, JavaScriptRuns) {
  EXPECT_OUTCOME(JavaScript("function f(n){ return 2 * n; }"), "passed");
  EXPECT_OUTCOME(JavaScript("const assert = require('assert');\nconst f = (n) => 2 * n;"),
                 "passed");
  EXPECT_OUTCOME(JavaScript("  return 2 * n;"), "passed");
  EXPECT_OUTCOME(JavaScript("function f(n){ return n; }"), "wrong");
  EXPECT_OUTCOME(JavaScript("function f(n){ return m; }"), "crash");
  EXPECT_OUTCOME(JavaScript("function f(n){ return (; }"), "syntax");
}

TEST_F(CodeRunnerTest, TheDetailSaysWhatWentWrong) {
  const CodeVerdict verdict = Python("def f(x):\n    return [][x]");
  if (!skipped_.empty()) GTEST_SKIP() << "SKIPPED: " << skipped_;
  EXPECT_THAT(verdict.detail, HasSubstr("IndexError"));
}

TEST(JudgeRun, ATimeoutIsATimeoutWhateverWasPrinted) {
  SandboxOutcome outcome;
  outcome.timed_out = true;
  outcome.signal = 9;
  outcome.output = "MARK\n";
  const CodeVerdict verdict = JudgeRun(Language::kPython, outcome, {}, "MARK");
  EXPECT_EQ(verdict.outcome, CodeOutcome::kTimeout);
  EXPECT_THAT(verdict.detail, HasSubstr("no end within"));
}

TEST(JudgeRun, TheMarkMustComeLast) {
  SandboxOutcome outcome;
  outcome.output = "MARK\nmore\n";
  EXPECT_EQ(JudgeRun(Language::kPython, outcome, {}, "MARK").outcome, CodeOutcome::kCrash);
  outcome.output = "noise MARK \n";
  EXPECT_EQ(JudgeRun(Language::kPython, outcome, {}, "MARK").outcome, CodeOutcome::kPassed);
  outcome.exit_code = 1;
  outcome.errors = "Traceback\nAssertionError: no\n";
  EXPECT_EQ(JudgeRun(Language::kPython, outcome, {}, "MARK").outcome, CodeOutcome::kWrong);
}

}  // namespace
}  // namespace hearth::eval
