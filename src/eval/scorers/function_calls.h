#pragma once
// Function calls in an answer, in the ways that models write them: <tool_call> JSON, a fenced or
// bare JSON object or list with "name" and "arguments" (or "parameters"), or Python calls as BFCL
// asks for them: [weather.get(city="Paris", days=[1, 2])]. Threads: pure functions.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/json.h"

namespace hearth::eval {

struct FunctionCall {
  std::string name;
  Json arguments = Json::object();
};

// Empty: the answer calls nothing. Prose around JSON or fences is passed over; prose around a bare
// Python call is not, for prose about functions looks like one.
std::vector<FunctionCall> ParseFunctionCalls(std::string_view answer);

// "[f(a=1), g()]" or "f(a=1)", nothing else around it. Values are Python literals; tuples become
// arrays, None null, a bare name its text. Positional arguments are left out, as BFCL does.
std::optional<std::vector<FunctionCall>> ParsePythonCalls(std::string_view text);

}  // namespace hearth::eval
