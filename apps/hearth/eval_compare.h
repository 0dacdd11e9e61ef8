#pragma once
// hearth eval compare and hearth eval noise: finished runs beside each other.

#include "apps/hearth/commands.h"

namespace hearth {

void AddEvalCompare(CLI::App& eval, Action& action);
void AddEvalNoise(CLI::App& eval, Action& action);

}  // namespace hearth
