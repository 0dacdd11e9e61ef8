#pragma once
// Finds the code in a chat answer. Models wrap it in fences, leave the last fence open, add an
// example in a second block, or write no fence at all. Threads: pure functions.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::eval {

enum class Language { kPython, kCpp, kJavaScript };

struct CodeBlock {
  std::string language;  // what stands behind the fence, lower case; may be empty
  std::string code;      // with a newline at the end; without the fence's indentation
};
// Blocks between ``` or ~~~ lines, in order; one without an end goes on to the end of the text.
std::vector<CodeBlock> FindCodeBlocks(std::string_view answer);

// Does the code define (not only call or declare) a function of that name?
bool DefinesFunction(std::string_view code, Language language, std::string_view function);

struct FoundCode {
  std::string code;
  bool whole = true;  // false: only the body, to go behind the prompt
};
// The first block that defines the function; else the text from its first line of code on, when it
// defines it without a fence; else the first block with an indented first line, as a body. Nothing:
// the answer has no code for this task.
std::optional<FoundCode> FindFunction(std::string_view answer, Language language,
                                      std::string_view function);

}  // namespace hearth::eval
