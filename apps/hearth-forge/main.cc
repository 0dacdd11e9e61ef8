// The forge's command line: one subcommand per file, and the one place where exceptions of
// libraries become an error line.

#include <csignal>
#include <exception>
#include <new>

#include "apps/hearth-forge/commands.h"
#include "apps/hearth/terminal.h"

namespace hearth::forge {
namespace {

int Main(int argc, char** argv) {
  CLI::App app("The forge makes what Hearth runs: data, training, evaluation.", "hearth-forge");
  app.set_version_flag("--version", "hearth-forge " HEARTH_VERSION);
  app.require_subcommand(1);
  app.footer(
      "\nhearth-forge COMMAND --help shows the options and examples of each command.\n"
      "Exit codes: 0 done, 1 failed, 2 the command line is wrong, 130 stopped by Ctrl-C.");
  Action action;
  AddCurate(app, action);
  AddGenerate(app, action);
  AddDraft(app, action);
  AddExport(app, action);
  AddRun(app, action);
  AddStageCopy(app, action);
  AddStatus(app, action);
  AddReport(app, action);
  AddVersion(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version come this way too.
    return app.exit(error) == 0 ? (FinishOutput() ? kExitOk : kExitFailure) : kExitUsage;
  }
  const int code = action();
  return FinishOutput() || code != kExitOk ? code : kExitFailure;
}

}  // namespace
}  // namespace hearth::forge

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);
  try {
    return hearth::forge::Main(argc, argv);
  } catch (const std::bad_alloc&) {
    return hearth::Fail("out of memory");
  } catch (const std::exception& error) {
    return hearth::Fail(error.what());
  }
}
