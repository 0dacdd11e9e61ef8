// The command line: one subcommand per file, and the one place where exceptions of libraries become
// an error line.

#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "apps/hearth/commands.h"
#include "apps/hearth/terminal.h"
#include "runtime/kernels/dispatch.h"

namespace hearth {
namespace {

// One line for what is wrong and one for where to read on.
std::string UsageError(const CLI::App* app, const CLI::Error& error) {
  std::string command = "hearth";
  for (const CLI::App* chosen : app->get_subcommands()) command += " " + chosen->get_name();
  if (app->get_subcommands().empty()) {
    const std::vector<std::string> unknown = app->remaining();
    const std::string what = unknown.empty()
                                 ? "no command"
                                 : "there is no command or option '" + OneLine(unknown[0]) + "'";
    return command + ": " + what + "\nSee " + command + " --help\n";
  }
  return command + ": " + error.what() + "\nSee " + command + " --help\n";
}

int Main(int argc, char** argv) {
  CLI::App app("Hearth runs language models on this machine.", "hearth");
  app.set_version_flag("--version", "hearth " HEARTH_VERSION);
  app.failure_message(UsageError);
  app.require_subcommand(1);
  app.footer(
      "\nExamples:\n"
      "  hearth run \"Why is the sky blue?\"         an answer in the terminal\n"
      "  hearth chat                               a conversation\n"
      "  hearth serve                              the chat page and the API on 127.0.0.1:8080\n"
      "  hearth show model.gguf                    what a model file is and needs\n"
      "\nhearth COMMAND --help shows the options and more examples of each command.\n"
      "Exit codes: 0 done, 1 failed, 2 the command line is wrong, 130 stopped by Ctrl-C.");
  Action action;
  AddRun(app, action);
  AddChat(app, action);
  AddServe(app, action);
  AddShow(app, action);
  AddTokenize(app, action);
  AddEmbed(app, action);
  AddPerplexity(app, action);
  AddBench(app, action);
  AddConvert(app, action);
  AddEval(app, action);
  AddVersion(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version come this way too.
    return app.exit(error) == 0 ? (FinishOutput() ? kExitOk : kExitFailure) : kExitUsage;
  }
  if (const Status isa = CheckForcedIsa(); !isa) return FailUsage(isa.error().message);
  const int code = action();
  return FinishOutput() || code != kExitOk ? code : kExitFailure;
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) {
  // A reader that leaves (`hearth run ... | head -1`) ends us without a word, whatever the parent
  // set.
  std::signal(SIGPIPE, SIG_DFL);
  try {
    return hearth::Main(argc, argv);
  } catch (const std::bad_alloc&) {
    return hearth::Fail("out of memory");
  } catch (const std::exception& error) {
    return hearth::Fail(error.what());
  }
}
