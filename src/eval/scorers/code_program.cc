#include "eval/scorers/code_program.h"

#include "eval/scorers/text.h"

namespace hearth::eval {
namespace {

// What the prompt says before the function: imports, helpers, types.
std::string PreambleOf(const CodeTask& task) {
  std::string preamble;
  std::string pending;
  for (const std::string_view line : SplitLines(task.prompt)) {
    if (DefinesFunction(line, task.language, task.function)) return preamble + pending;
    pending += std::string(line) + "\n";
  }
  return "";
}

std::string OnlyIncludes(std::string_view code) {
  std::string lines;
  for (const std::string_view line : SplitLines(code))
    if (line.starts_with('#')) lines += std::string(line) + "\n";
  return lines;
}

// Without `int main(...) {...}`: the tests bring their own. Braces in strings and comments are
// skipped over.
std::string WithoutMain(const std::string& code) {
  const size_t name = FindWord(code, "main");
  if (name == std::string::npos) return code;
  const size_t line = code.rfind('\n', name) + 1;  // npos + 1 is 0
  const size_t open = code.find('{', name);
  const std::string_view type = Trim(std::string_view(code).substr(line, name - line));
  if (open == std::string::npos || (type != "int" && type != "void" && type != "signed"))
    return code;
  int depth = 0;
  for (size_t i = open; i < code.size(); ++i) {
    const char c = code[i];
    if (c == '"' || c == '\'') {
      for (++i; i < code.size() && code[i] != c && code[i] != '\n'; ++i)
        if (code[i] == '\\') ++i;
    } else if (code.compare(i, 2, "//") == 0) {
      i = std::min(code.find('\n', i), code.size());
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return code.substr(0, line) + code.substr(i + 1);
    }
  }
  return code.substr(0, line);
}

CodeProgram PythonProgram(const CodeTask& task, const FoundCode& found, const std::string& mark) {
  CodeProgram program;
  program.mark = mark;
  // A module of its own: what stands under `if __name__ == "__main__"` is an example, not the
  // answer.
  program.files.emplace_back(
      "solution.py", found.whole ? PreambleOf(task) + "\n" + found.code : task.prompt + found.code);
  program.files.emplace_back("tests.py", "from solution import *\nfrom solution import " +
                                             task.function + "\n" + task.tests + "\n\ncheck(" +
                                             task.function + ")\nprint()\nprint(\"" + mark +
                                             "\")\n");
  program.command = {"/usr/bin/python3", "tests.py"};
  return program;
}

CodeProgram CppProgram(const CodeTask& task, const FoundCode& found, const std::string& mark) {
  std::string tests = task.tests;
  if (const size_t end = tests.rfind('}'); end != std::string::npos)
    tests.insert(end, "    std::puts(\"\\n" + mark + "\");\n");
  std::string source;
  if (found.whole) {
    // Of a type that the answer repeats there must be only one.
    const std::string preamble = PreambleOf(task);
    const bool repeats = found.code.find("union Union_") != std::string::npos;
    source = (repeats ? OnlyIncludes(preamble) : preamble) + WithoutMain(found.code) + "\n";
    if (const size_t close = tests.find('}');
        close != std::string::npos && Trim(tests.substr(0, close)).empty()) {
      tests.erase(0, close + 1);
    }
  } else {
    source = task.prompt + found.code;
  }
  CodeProgram program;
  program.mark = mark;
  program.files.emplace_back("main.cc", "#include <cstdio>\n" + source + tests);
  program.command = {"/bin/sh", "-c",
                     "g++ -std=c++17 -w -o program main.cc || exit " +
                         std::to_string(kCompileFailed) + "; exec ./program"};
  return program;
}

CodeProgram JavaScriptProgram(const CodeTask& task, const FoundCode& found,
                              const std::string& mark) {
  CodeProgram program;
  program.mark = mark;
  const std::string code =
      found.whole ? PreambleOf(task) + found.code : task.prompt + found.code + "\n}\n";
  // In a block of their own the tests' names may be the answer's too.
  program.files.emplace_back(
      "main.js", code + "\n{\n" + task.tests + "\nconsole.log(\"\\n" + mark + "\");\n}\n");
  program.command = {"/usr/bin/node", "main.js"};
  return program;
}

}  // namespace

std::optional<CodeProgram> BuildProgram(const CodeTask& task, std::string_view answer,
                                        const std::string& mark) {
  const std::optional<FoundCode> found = FindFunction(answer, task.language, task.function);
  if (!found) return std::nullopt;
  switch (task.language) {
    case Language::kPython:
      return PythonProgram(task, *found, mark);
    case Language::kCpp:
      return CppProgram(task, *found, mark);
    case Language::kJavaScript:
      break;
  }
  return JavaScriptProgram(task, *found, mark);
}

std::string FunctionOfTests(std::string_view tests) {
  constexpr std::string_view kCandidate = "candidate = ";
  const size_t at = tests.find(kCandidate);
  if (at == std::string_view::npos) return "";
  const size_t begin = at + kCandidate.size();
  size_t end = begin;
  while (end < tests.size() && IsWordChar(tests[end])) ++end;
  return std::string(tests.substr(begin, end - begin));
}

}  // namespace hearth::eval
