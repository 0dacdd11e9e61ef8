// Answers of models are hostile bytes: every parser of them takes anything and ends.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "eval/scorers/code_program.h"
#include "eval/scorers/final_answer.h"
#include "eval/scorers/function_calls.h"
#include "eval/scorers/judge.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth::eval;
  const std::string_view answer(reinterpret_cast<const char*>(data), size);
  for (const Language language : {Language::kPython, Language::kCpp, Language::kJavaScript}) {
    const CodeTask task{language, "int x;\nint f(int n) {\n", "}\nint main() {\n}\n", "f"};
    BuildProgram(task, answer, "mark");
  }
  FindNumber(answer);
  for (const ChoiceKind kind :
       {ChoiceKind::kOption, ChoiceKind::kBoolean, ChoiceKind::kYesNo, ChoiceKind::kNumber}) {
    FindChoice(answer, kind, "Options:\n(A) one\n(B) two");
  }
  ParseFunctionCalls(answer);
  ParseGrade(answer);
  ParsePreference(answer);
  return 0;
}
