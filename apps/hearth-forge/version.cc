// hearth-forge version: what this binary is.

#include "apps/hearth-forge/commands.h"
#include "apps/hearth/terminal.h"

namespace hearth::forge {

void AddVersion(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("version", "Version");
  command->callback([&action] {
    action = [] {
      Print(Format("hearth-forge %s\n", HEARTH_VERSION));
      return kExitOk;
    };
  });
}

}  // namespace hearth::forge
