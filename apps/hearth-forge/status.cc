// hearth-forge status: the runs of a working folder and what became of their stages.

#include <memory>
#include <string>

#include "apps/hearth-forge/commands.h"
#include "apps/hearth-forge/recipe_options.h"
#include "apps/hearth/terminal.h"
#include "training/recipe/html.h"
#include "training/recipe/report.h"

namespace hearth::forge {
namespace {

struct StatusFlags {
  std::string workdir;
  std::string run;
  bool json = false;
};

void PrintRun(const RunView& view) {
  Print(Format("run %lld  %s  %s  %s\n", static_cast<long long>(view.run.id),
               OneLine(view.run.name).c_str(), view.StateOf(view.run).c_str(),
               TimeText(view.run.started_at).c_str()));
  for (const StageRecord& stage : view.stages) {
    std::string line = Format("  %-20s %-13s %-12s", OneLine(stage.name).c_str(),
                              OneLine(stage.kind).c_str(), view.StateOf(stage).c_str());
    const std::string state = view.StateOf(stage);
    if (state == "running" || state == "interrupted" || state == "stopped")
      line += Format(" %3.0f%% %s", 100 * stage.progress, OneLine(stage.doing).c_str());
    if (stage.seconds > 0) line += " " + DurationText(stage.seconds);
    Print(line + "\n");
    if (!stage.error.empty()) PrintUntrusted("      " + OneLine(stage.error) + "\n");
    const Artifact* artifact = view.ArtifactOf(stage);
    if (artifact == nullptr) continue;
    for (const StageFigure& figure : artifact->figures) {
      std::string text = "      " + figure.name + " " + NumberText(figure.value);
      if (figure.low && figure.high)
        text += " (" + NumberText(*figure.low) + " to " + NumberText(*figure.high) + ")";
      PrintUntrusted(text + (figure.unit.empty() ? "" : " " + figure.unit) + "\n");
    }
  }
  for (const TargetOutcome& target : TargetsOf(view)) {
    const char* verdict = !target.measured ? "not measured"
                          : target.reached ? "reached"
                                           : "fell short";
    Print(Format("  target %s %s: %s%s\n", OneLine(target.figure).c_str(), target.wanted.c_str(),
                 target.measured ? (NumberText(target.measured->value) + ", ").c_str() : "",
                 verdict));
  }
}

int ShowStatus(const StatusFlags& flags) {
  Result<Ledger> ledger = Ledger::Open(flags.workdir, false);
  if (!ledger) {
    if (ledger.error().code != ErrorCode::kNotFound) return Fail(ledger.error());
    return Fail("there are no runs in " + flags.workdir + "; --workdir names another folder");
  }
  const Result<std::vector<RunRecord>> runs = ledger->Runs();
  if (!runs) return Fail(runs.error());
  bool found = false;
  for (const RunRecord& run : *runs) {
    if (!flags.run.empty() && std::to_string(run.id) != flags.run && run.name != flags.run)
      continue;
    const Result<RunView> view = ViewRun(*ledger, flags.workdir, run);
    if (!view) return Fail(view.error());
    found = true;
    if (flags.json) {
      Print(RunAsJson(*view) + "\n");
    } else {
      PrintRun(*view);
    }
  }
  if (!found && !flags.run.empty())
    return Fail("there is no run " + flags.run + " in " + flags.workdir);
  return kExitOk;
}

}  // namespace

void AddStatus(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("status", "Show runs of recipes, their stages and figures");
  const auto flags = std::make_shared<StatusFlags>();
  command
      ->add_option("run", flags->run, "Number or name of a run; without it all, the newest first")
      ->type_name("RUN");
  AddWorkdirOption(*command, flags->workdir);
  command->add_flag("--json", flags->json, "A JSON object for each run, one a line");
  command->callback([&action, flags] { action = [flags] { return ShowStatus(*flags); }; });
}

}  // namespace hearth::forge
