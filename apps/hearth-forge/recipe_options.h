#pragma once
// What run, status and report share.

#include <string>

#include "apps/hearth-forge/commands.h"

namespace hearth::forge {

// --workdir; ./forge-runs without it.
void AddWorkdirOption(CLI::App& command, std::string& workdir);

}  // namespace hearth::forge
