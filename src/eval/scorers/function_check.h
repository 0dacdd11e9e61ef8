#pragma once
// Is a function call one of the accepted ones? The rules of the Berkeley Function Calling
// Leaderboard for Python: one call, the right name, every required parameter, none that the answer
// does not know, types as described (an int passes for a float), and each value among the accepted
// ones; text is compared without case, spaces and ",./-_*^". An accepted "" means that the
// parameter may be left out. Names compare with dots as underscores, for chat templates forbid
// dots. Source: Patil et al., the leaderboard's `ast_checker.py`; written anew. Threads: pure
// functions.

#include <string>

#include "eval/json.h"
#include "eval/scorers/function_calls.h"

namespace hearth::eval {

struct FunctionVerdict {
  bool right = false;
  std::string kind;  // "right", or what is wrong: "count", "name", "missing", "unexpected", "type",
                     // "value"
  std::string detail;  // one line
};

// `functions`: the array that the model was given. `accepted`: {NAME: {PARAMETER: [VALUE, ...]}}.
FunctionVerdict CheckCall(const std::vector<FunctionCall>& calls, const Json& functions,
                          const Json& accepted);

}  // namespace hearth::eval
