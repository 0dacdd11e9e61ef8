#pragma once
// From a task and an answer to what runs in the sandbox: the answer's function, what the prompt
// defines beside it, and the task's tests. The tests end by printing a mark that the code cannot
// know, so an answer that ends the program early does not pass. Threads: pure functions.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eval/scorers/code_block.h"

namespace hearth::eval {

struct CodeTask {
  Language language = Language::kPython;
  std::string prompt;    // ends within the function's body: signature, and in Python a docstring
  std::string tests;     // Python: defines check(candidate); else what follows the body
  std::string function;  // its name
};

struct CodeProgram {
  std::vector<std::string> command;
  std::vector<std::pair<std::string, std::string>> files;
  std::string mark;  // the last thing printed when every test has passed
};

// Nothing when the answer has no code for the task.
std::optional<CodeProgram> BuildProgram(const CodeTask& task, std::string_view answer,
                                        const std::string& mark);

// "auto candidate = NAME;" -> NAME. Empty: there is none.
std::string FunctionOfTests(std::string_view tests);

// How the compile step of C++ tells that it failed.
inline constexpr int kCompileFailed = 97;

}  // namespace hearth::eval
