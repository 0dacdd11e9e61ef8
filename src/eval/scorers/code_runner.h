#pragma once
// Runs a program of a model's code in the sandbox and says how it went: right, wrong, or in which
// way it failed. Threads: Run is safe from many threads; at most as many programs run at once as
// the machine has cores, so that they do not take each other's time.

#include <memory>
#include <string>

#include "base/result.h"
#include "eval/sandbox.h"
#include "eval/scorers/code_program.h"

namespace hearth::eval {

enum class CodeOutcome {
  kPassed,
  kWrong,    // a test's assertion failed
  kCrash,    // an exception, a signal, or an end before the tests were through
  kTimeout,  // of processor or wall time
  kMemory,
  kTooMuchOutput,
  kSyntax,  // it does not parse or compile
  kNoCode,  // nothing to run in the answer
};
// "passed", "wrong", "crash", "timeout", "memory", "output", "syntax", "no_code".
const char* CodeOutcomeName(CodeOutcome outcome);

struct CodeVerdict {
  CodeOutcome outcome = CodeOutcome::kNoCode;
  std::string detail;  // one line: the exception, the failed assertion, the compiler's first error
  double seconds = 0;
};

// Reads how a program ended; split from the running for its tests.
CodeVerdict JudgeRun(Language language, const SandboxOutcome& outcome, const SandboxLimits& limits,
                     const std::string& mark);

class CodeRunner {
 public:
  // Errors: those of Sandbox::Create, when this system allows no sandbox; kNotFound when the
  // language's program is not installed. Nothing runs without a sandbox.
  static Result<std::shared_ptr<CodeRunner>> Create(Language language);

  // Builds and runs. Errors: those of Sandbox::Run.
  Result<CodeVerdict> Run(const CodeTask& task, std::string_view answer) const;

 private:
  CodeRunner(Language language, const Sandbox& sandbox) : language_(language), sandbox_(sandbox) {}
  Language language_;
  Sandbox sandbox_;
};

}  // namespace hearth::eval
