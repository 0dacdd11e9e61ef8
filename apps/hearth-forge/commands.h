#pragma once
// The subcommands of `hearth-forge`: each declares its options on the command line and says what to
// run. One file per subcommand.

#include "apps/hearth/commands.h"

namespace hearth::forge {

void AddCurate(CLI::App& app, Action& action);
void AddDraft(CLI::App& app, Action& action);
void AddGenerate(CLI::App& app, Action& action);
void AddExport(CLI::App& app, Action& action);
void AddReport(CLI::App& app, Action& action);
void AddRun(CLI::App& app, Action& action);
void AddStageCopy(CLI::App& app, Action& action);
void AddStatus(CLI::App& app, Action& action);
void AddVersion(CLI::App& app, Action& action);

}  // namespace hearth::forge
