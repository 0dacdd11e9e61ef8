// hearth version: what this binary is and what it found to run on.

#include <memory>
#include <thread>

#include "apps/hearth/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/terminal.h"
#include "runtime/kernels/kernels.h"

namespace hearth {
namespace {

int Version(bool json) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (json) {
    PrintJson({{"version", HEARTH_VERSION}, {"kernels", Kernels().name}, {"cores", cores}});
    return kExitOk;
  }
  Print(Format("hearth %s\nkernels  %s\ncores    %d\n", HEARTH_VERSION, Kernels().name, cores));
  return kExitOk;
}

}  // namespace

void AddVersion(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("version", "Version, kernels in use, cores");
  const auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "One JSON object");
  AddExamples(*command, "  hearth version --json");
  command->callback([&action, json] { action = [json] { return Version(*json); }; });
}

}  // namespace hearth
