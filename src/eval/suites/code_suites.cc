// HumanEval, and MultiPL-E's versions of it in C++ and JavaScript: a function is to be completed,
// and counts when it passes the task's tests in the sandbox (pass@1).
// Source: Chen et al., arXiv 2107.03374; Cassano et al., arXiv 2208.08227.

#include "eval/fingerprint.h"
#include "eval/scorers/code_runner.h"
#include "eval/suites/suite_data.h"

namespace hearth::eval {
namespace {

// Raised when programs are built or judged in another way.
constexpr const char* kRules = "code-1";
constexpr int kMaxTokens = 1024;

struct LanguageWords {
  const char* name;  // in the prompt
  const char* fence;
  const char* extras;  // what the block should or should not hold
};

LanguageWords WordsOf(Language language) {
  switch (language) {
    case Language::kPython:
      return {"Python", "python", "the complete function with the imports it needs"};
    case Language::kCpp:
      return {"C++", "cpp", "the complete function with the includes it needs, without main"};
    case Language::kJavaScript:
      break;
  }
  return {"JavaScript", "javascript", "the complete function"};
}

std::string PromptFor(Language language, const std::string& code) {
  const LanguageWords words = WordsOf(language);
  return std::string("Complete this ") + words.name + " function. Answer with one " + words.name +
         " code block that contains " + words.extras + ".\n\n```" + words.fence + "\n" + code +
         (code.ends_with('\n') ? "" : "\n") + "```";
}

struct CodeItem {
  std::string id;
  CodeTask task;
};

class CodeSuite : public QuestionSuite {
 public:
  CodeSuite(SuiteInfo info, const SuiteOptions& options, std::vector<CodeItem> items,
            std::shared_ptr<CodeRunner> runner)
      : info_(std::move(info)),
        options_(options),
        items_(std::move(items)),
        runner_(std::move(runner)) {}

  const SuiteInfo& info() const override { return info_; }
  size_t size() const override { return items_.size(); }
  std::string id(size_t item) const override { return items_[item].id; }

 protected:
  Question Ask(size_t item, const Answerer&) const override {
    const CodeTask& task = items_[item].task;
    return UserQuestion(options_, PromptFor(task.language, task.prompt), kMaxTokens);
  }

  Result<Scored> Score(size_t item, const std::string& answer) const override {
    const CodeTask& task = items_[item].task;
    HEARTH_ASSIGN_OR_RETURN(const CodeVerdict verdict, runner_->Run(task, answer));
    Scored scored;
    const bool passed = verdict.outcome == CodeOutcome::kPassed;
    scored.outcome = passed ? "right" : CodeOutcomeName(verdict.outcome);
    scored.score = passed ? 1 : 0;
    scored.detail = verdict.detail;
    scored.figures["test_seconds"] = verdict.seconds;
    if (const auto found = FindFunction(answer, task.language, task.function))
      scored.found = found->code;
    return scored;
  }

 private:
  SuiteInfo info_;
  SuiteOptions options_;
  std::vector<CodeItem> items_;
  std::shared_ptr<CodeRunner> runner_;
};

Result<CodeItem> ReadItem(const Json& row, Language language, const std::string& file) {
  CodeItem item;
  item.task.language = language;
  HEARTH_ASSIGN_OR_RETURN(item.id, StringField(row, "task_id", "a row of " + file));
  HEARTH_ASSIGN_OR_RETURN(item.task.prompt, StringField(row, "prompt", file + ", " + item.id));
  HEARTH_ASSIGN_OR_RETURN(item.task.tests, StringField(row, "test", file + ", " + item.id));
  if (language == Language::kPython) {
    HEARTH_ASSIGN_OR_RETURN(item.task.function,
                            StringField(row, "entry_point", file + ", " + item.id));
  } else {
    item.task.function = FunctionOfTests(item.task.tests);
    if (item.task.function.empty())
      return MakeError(ErrorCode::kCorrupt, file + ", " + item.id + ": the tests name no function");
  }
  return item;
}

Result<std::unique_ptr<Suite>> MakeCodeSuite(const SuiteOptions& options, Language language,
                                             SuiteInfo info) {
  HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<CodeRunner> runner, CodeRunner::Create(language));
  const std::string name = info.name + ".jsonl";
  HEARTH_ASSIGN_OR_RETURN(const DataFile file, ReadDataLines(options, name));
  std::vector<CodeItem> items;
  for (const Json& row : file.rows) {
    if (options.limit > 0 && items.size() == static_cast<size_t>(options.limit)) break;
    HEARTH_ASSIGN_OR_RETURN(CodeItem item, ReadItem(row, language, name));
    items.push_back(std::move(item));
  }
  info.fingerprint = Fingerprint(file.fingerprint + PromptFor(language, "") + kRules);
  return std::make_unique<CodeSuite>(std::move(info), options, std::move(items), std::move(runner));
}

}  // namespace

Result<std::unique_ptr<Suite>> MakeHumanEval(const SuiteOptions& options) {
  return MakeCodeSuite(options, Language::kPython,
                       {.name = "humaneval", .title = "HumanEval (Python), pass@1"});
}

Result<std::unique_ptr<Suite>> MakeHumanEvalCpp(const SuiteOptions& options) {
  return MakeCodeSuite(options, Language::kCpp,
                       {.name = "humaneval_cpp", .title = "HumanEval in C++ (MultiPL-E), pass@1"});
}

Result<std::unique_ptr<Suite>> MakeHumanEvalJs(const SuiteOptions& options) {
  return MakeCodeSuite(
      options, Language::kJavaScript,
      {.name = "humaneval_js", .title = "HumanEval in JavaScript (MultiPL-E), pass@1"});
}

}  // namespace hearth::eval
