#pragma once
// Stages that run the program `hearth` and read the JSON that it prints.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "training/recipe/stage.h"

namespace hearth::forge {

// hearth ARGUMENTS, until it ends or the stage is stopped; what it says on standard error goes to
// the stage's log. The JSON object that it printed. Errors: kCancelled; kUnavailable when it fails,
// with its last words; kCorrupt when it prints something else; those of starting it.
Result<nlohmann::ordered_json> RunHearth(const StageContext& context,
                                         const std::vector<std::string>& arguments,
                                         double timeout_s);

// Every number of the object as a figure: {"a": {"b": 1}} is a.b. An object with "value", and maybe
// "low" and "high", is one figure.
std::vector<StageFigure> FiguresIn(const nlohmann::ordered_json& json);

}  // namespace hearth::forge
