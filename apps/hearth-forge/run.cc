// hearth-forge run: a recipe's stages, each once.

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "apps/hearth-forge/commands.h"
#include "apps/hearth-forge/recipe_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"
#include "base/process.h"
#include "training/recipe/explain.h"
#include "training/recipe/html.h"
#include "training/recipe/nearest_name.h"
#include "training/recipe/runner.h"
#include "training/recipe/stages/all_kinds.h"
#include "training/recipe/stages/declarations.h"
#include "training/recipe/stages/processes.h"

namespace hearth::forge {
namespace {

// What `run` starts for a stage in several processes; for nobody else.
constexpr const char* kStageCopy = "stage-copy";

struct RunFlags {
  std::string recipe;
  RunOptions options;
  std::vector<std::string> overrides;
  std::string explain;
  bool dry_run = false;
  bool markdown = false;
};

// SIGINT and SIGTERM ask the stage to save its state and stop; a second one ends the program, which
// loses nothing but the work since the last checkpoint.
std::atomic<bool> stop_requested = false;

void RequestStop(int signal) {
  stop_requested = true;
  std::signal(signal, SIG_DFL);
}

// The program hearth: as named, beside us, or in PATH.
std::string FindHearth(const std::string& named) {
  if (!named.empty()) return named;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = self.parent_path() / "hearth";
  if (!error && access(beside.c_str(), X_OK) == 0) return beside.string();
  return FindProgram("hearth").value_or("");
}

int Explain(const RunFlags& flags) {
  const std::vector<const StageDeclaration*> kinds = AllDeclarations();
  if (flags.explain == "all") {
    Print(flags.markdown ? KindsAsMarkdown(kinds) : ExplainKinds(kinds));
    return kExitOk;
  }
  std::vector<std::string> names;
  for (const StageDeclaration* kind : kinds) {
    if (kind->name == flags.explain) {
      Print(flags.markdown ? KindsAsMarkdown({kind}) : ExplainKind(*kind));
      return kExitOk;
    }
    names.push_back(kind->name);
  }
  return FailUsage("there is no kind of stage called " + OneLine(flags.explain) +
                   NearestHint(flags.explain, names) + "; --explain all lists them");
}

std::string PlanText(const Recipe& recipe, const Plan& plan) {
  size_t width = 5;
  for (const RecipeStage& stage : recipe.stages) width = std::max(width, stage.name.size());
  std::string text;
  for (const PlannedStage& planned : plan.stages) {
    const std::string& name = recipe.stages[static_cast<size_t>(planned.stage)].name;
    text += Format("%-*s  %-9s  %s\n", static_cast<int>(width), name.c_str(),
                   std::string(PlannedWorkName(planned.work)).c_str(), planned.key.c_str());
  }
  return text;
}

int DryRun(const RunFlags& flags, const Recipe& recipe) {
  std::error_code error;
  std::optional<Ledger> ledger;
  if (std::filesystem::exists(flags.options.workdir + "/ledger.db", error)) {
    Result<Ledger> opened = Ledger::Open(flags.options.workdir, false);
    if (!opened) return Fail(opened.error());
    ledger = *std::move(opened);
  }
  const Result<Plan> plan =
      MakePlan(recipe, flags.options.workdir, ledger ? &*ledger : nullptr, flags.options.plan);
  if (!plan) return Fail(plan.error());
  Print(PlanText(recipe, *plan));
  return kExitOk;
}

std::string FigureLine(const StageFigure& figure) {
  std::string text = figure.name + " " + NumberText(figure.value);
  if (figure.low && figure.high)
    text += " (" + NumberText(*figure.low) + " to " + NumberText(*figure.high) + ")";
  return text + (figure.unit.empty() ? "" : " " + figure.unit);
}

// What happens, as lines on standard output and a bar on a terminal.
RunEvents ShowEvents(ProgressBar& bar) {
  RunEvents events;
  events.on_stage_begin = [&bar](const RecipeStage& stage) {
    bar.SetLabel(stage.name);
    bar.Update(0);
  };
  events.on_progress = [&bar](double done, std::string_view doing) {
    static_cast<void>(doing);
    bar.Update(done);
  };
  events.on_stage_end = [&bar](const RecipeStage& stage, const StageRecord& record,
                               const Artifact* artifact) {
    bar.Clear();
    std::string line = stage.name + ": " + std::string(RunStateName(record.state));
    if (record.state == RunState::kDone) line += ", " + DurationText(record.seconds);
    Print(line + "\n");
    if (artifact != nullptr && record.state == RunState::kDone)
      for (const StageFigure& figure : artifact->figures)
        Print("  " + OneLine(FigureLine(figure)) + "\n");
    FlushOutput();
  };
  return events;
}

int Run(RunFlags& flags) {
  if (!flags.explain.empty()) return Explain(flags);
  if (flags.recipe.empty())
    return FailUsage(
        "no recipe: hearth-forge run RECIPE, for example recipes/smollm2-draft-head.yaml");
  const Result<Recipe> recipe = LoadRecipe(flags.recipe, AllStageKinds(), flags.overrides);
  if (!recipe) return Fail(recipe.error());
  if (flags.dry_run) return DryRun(flags, *recipe);
  flags.options.program = "hearth-forge " HEARTH_VERSION;
  flags.options.hearth_program = FindHearth(flags.options.hearth_program);
  flags.options.copy_command = {"/proc/self/exe", kStageCopy};
  flags.options.cancelled = &stop_requested;
  std::signal(SIGINT, RequestStop);
  std::signal(SIGTERM, RequestStop);
  ProgressBar bar(recipe->name);
  const Result<RunSummary> summary = RunRecipe(*recipe, flags.options, ShowEvents(bar));
  bar.Clear();
  if (!summary) {
    if (summary.error().code != ErrorCode::kCancelled) return Fail(summary.error());
    Note("stopped; the same command goes on");
    return kExitInterrupted;
  }
  if (summary->num_made == 0) {
    Print(Format("run %lld: nothing to do, all %d stages are there\n",
                 static_cast<long long>(summary->run), summary->num_reused));
  } else {
    Print(Format("run %lld: %d stages made, %d reused, in %s\n",
                 static_cast<long long>(summary->run), summary->num_made, summary->num_reused,
                 DurationText(summary->seconds).c_str()));
  }
  return kExitOk;
}

}  // namespace

void AddWorkdirOption(CLI::App& command, std::string& workdir) {
  workdir = "forge-runs";
  command
      .add_option("--workdir", workdir, "Folder of the ledger, the artifacts and what is under way")
      ->type_name("DIR")
      ->capture_default_str();
}

void AddStageCopy(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(kStageCopy, "One of the processes of a stage");
  command->group("");  // not in the help
  const auto path = std::make_shared<std::string>();
  command->add_option("file", *path)->required();
  command->callback([&action, path] {
    action = [path] {
      const Status status = RunStageCopy(AllStageKinds(), *path);
      return status ? kExitOk : Fail(status.error());
    };
  });
}

void AddRun(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("run", "Make what a recipe describes, each stage once");
  const auto flags = std::make_shared<RunFlags>();
  command->add_option("recipe", flags->recipe, "The recipe, a YAML file")->type_name("RECIPE");
  AddWorkdirOption(*command, flags->options.workdir);
  command->add_flag("--dry-run", flags->dry_run, "Say what is there and what would run");
  command
      ->add_option("--from", flags->options.plan.from,
                   "Make this stage again, and all that depends on it")
      ->type_name("STAGE");
  command->add_option("--only", flags->options.plan.only, "Make no stage but this one")
      ->type_name("STAGE");
  command
      ->add_option("--set", flags->overrides,
                   "Another value for a key: STAGE.KEY=VALUE, or KEY=VALUE of the recipe")
      ->type_name("KEY=VALUE")
      ->take_all();
  command->add_flag("--wait", flags->options.wait,
                    "Wait while another process runs a recipe in the folder");
  command->add_flag("--verify", flags->options.plan.verify,
                    "Read artifacts that are there and compare their hashes");
  command
      ->add_option("--hearth", flags->options.hearth_program,
                   "The program hearth; else beside this one or in PATH")
      ->type_name("PATH");
  command
      ->add_option("--explain", flags->explain,
                   "Every key and output of a kind of stage; all: the kinds")
      ->type_name("KIND");
  command->add_flag("--markdown", flags->markdown, "With --explain: as docs/recipes.md has it");
  command->footer(
      "\n  hearth-forge run recipes/smollm2-draft-head.yaml --dry-run\n"
      "  hearth-forge run recipes/smollm2-draft-head.yaml --workdir /data/runs\n"
      "  hearth-forge run recipes/smollm2-draft-head.yaml --set head.max_steps=50\n"
      "  hearth-forge run --explain all\n\n"
      "Stopped or killed, the same command goes on. docs/recipes.md says how to write one.");
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace hearth::forge
