#include "eval/scorers/code_runner.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <semaphore>
#include <thread>

#include "eval/scorers/text.h"

namespace hearth::eval {
namespace {

constexpr int kMaxPlaces = 1024;
constexpr size_t kMaxDetail = 300;

// Python's tests of HumanEval take milliseconds; a compile of the whole standard library, seconds.
SandboxLimits LimitsFor(Language language) {
  SandboxLimits limits;
  limits.cpu_s = 10;
  // Other work on the machine stretches it.
  limits.wall_s = 90;
  limits.memory_bytes = int64_t{1} << 30;
  // V8 maps its heap before it needs it.
  if (language == Language::kJavaScript) limits.memory_bytes = int64_t{4} << 30;
  if (language == Language::kCpp) limits.cpu_s = 30;
  return limits;
}

std::counting_semaphore<kMaxPlaces>& Places() {
  static std::counting_semaphore<kMaxPlaces> places(
      std::clamp<ptrdiff_t>(std::thread::hardware_concurrency(), 1, kMaxPlaces));
  return places;
}

std::string NewMark() {
  static thread_local std::mt19937_64 random(std::random_device{}());
  return "tests passed " + std::to_string(random()) + std::to_string(random());
}

// The last line of the errors that says something about an exception.
std::string LastLine(std::string_view errors) {
  const std::vector<std::string_view> lines = SplitLines(errors);
  for (size_t i = lines.size(); i-- > 0;)
    if (!Trim(lines[i]).empty()) return Shorten(Trim(lines[i]), kMaxDetail);
  return "";
}

std::string FirstLineWith(std::string_view errors, std::string_view part) {
  for (const std::string_view line : SplitLines(errors))
    if (line.find(part) != std::string_view::npos) return Shorten(Trim(line), kMaxDetail);
  return "";
}

CodeVerdict JudgeErrors(Language language, const SandboxOutcome& outcome) {
  const std::string_view errors = outcome.errors;
  const auto says = [&](std::string_view part) {
    return errors.find(part) != std::string_view::npos;
  };
  const std::string last = LastLine(errors);
  switch (language) {
    case Language::kPython:
      if (last.starts_with("AssertionError")) return {CodeOutcome::kWrong, last};
      if (last.starts_with("MemoryError")) return {CodeOutcome::kMemory, last};
      for (const char* kind : {"SyntaxError", "IndentationError", "TabError"})
        if (last.starts_with(kind)) return {CodeOutcome::kSyntax, last};
      return {CodeOutcome::kCrash, last};
    case Language::kCpp:
      if (outcome.exit_code == kCompileFailed && outcome.signal == 0)
        return {CodeOutcome::kSyntax, FirstLineWith(errors, "error")};
      if (says("Assertion `")) return {CodeOutcome::kWrong, FirstLineWith(errors, "Assertion `")};
      if (says("std::bad_alloc")) return {CodeOutcome::kMemory, last};
      return {CodeOutcome::kCrash, last};
    case Language::kJavaScript:
      if (says("heap out of memory"))
        return {CodeOutcome::kMemory, FirstLineWith(errors, "heap out of memory")};
      if (says("\nAssertionError") || says("AssertionError ["))
        return {CodeOutcome::kWrong, FirstLineWith(errors, "AssertionError")};
      if (says("\nSyntaxError:"))
        return {CodeOutcome::kSyntax, FirstLineWith(errors, "SyntaxError")};
      return {CodeOutcome::kCrash, FirstLineWith(errors, "Error")};
  }
  return {};
}

}  // namespace

const char* CodeOutcomeName(CodeOutcome outcome) {
  constexpr std::array kNames = {"passed", "wrong",  "crash",  "timeout",
                                 "memory", "output", "syntax", "no_code"};
  return kNames[static_cast<size_t>(outcome)];
}

CodeVerdict JudgeRun(Language language, const SandboxOutcome& outcome, const SandboxLimits& limits,
                     const std::string& mark) {
  CodeVerdict verdict;
  const std::string_view output = Trim(outcome.output);
  const bool finished = output.ends_with(mark);
  if (outcome.ok() && finished) {
    verdict.outcome = CodeOutcome::kPassed;
  } else if (outcome.timed_out) {
    verdict = {CodeOutcome::kTimeout, DescribeEnd(outcome, limits)};
  } else if (outcome.too_much_memory) {
    verdict = {CodeOutcome::kMemory, DescribeEnd(outcome, limits)};
  } else if (outcome.too_much_output) {
    verdict = {CodeOutcome::kTooMuchOutput, DescribeEnd(outcome, limits)};
  } else if (outcome.exit_code == 0 && outcome.signal == 0) {
    verdict = {CodeOutcome::kCrash, "it ended before the tests were through"};
  } else {
    verdict = JudgeErrors(language, outcome);
    if (verdict.detail.empty()) verdict.detail = DescribeEnd(outcome, limits);
  }
  verdict.seconds = outcome.seconds;
  return verdict;
}

Result<std::shared_ptr<CodeRunner>> CodeRunner::Create(Language language) {
  const char* program = language == Language::kPython ? "/usr/bin/python3"
                        : language == Language::kCpp  ? "/usr/bin/g++"
                                                      : "/usr/bin/node";
  if (access(program, X_OK) != 0) {
    return MakeError(ErrorCode::kNotFound,
                     std::string("generated code is run with ") + program +
                         ", which is not there; only programs under /usr are seen in the sandbox");
  }
  Result<Sandbox> sandbox = Sandbox::Create();
  if (!sandbox) {
    return MakeError(sandbox.error().code, "generated code is run in a sandbox or not at all: " +
                                               sandbox.error().message);
  }
  return std::shared_ptr<CodeRunner>(new CodeRunner(language, *sandbox));
}

Result<CodeVerdict> CodeRunner::Run(const CodeTask& task, std::string_view answer) const {
  const std::optional<CodeProgram> program = BuildProgram(task, answer, NewMark());
  if (!program) {
    return CodeVerdict{CodeOutcome::kNoCode, "the answer does not define " + task.function};
  }
  SandboxTask run;
  run.command = program->command;
  run.files = program->files;
  run.limits = LimitsFor(language_);
  Places().acquire();
  const Result<SandboxOutcome> outcome = sandbox_.Run(run);
  Places().release();
  if (!outcome) return tl::unexpected(outcome.error());
  return JudgeRun(language_, *outcome, run.limits, program->mark);
}

}  // namespace hearth::eval
