#pragma once
// Runs a recipe in a working folder: every stage whose artifact is not there, in order, each kept
// as soon as it is done. What a kill, a signal or an error leaves is gone on with by the next call;
// stages with checkpoints of their own find them in their scratch folder. Nothing is made twice.

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "training/recipe/plan.h"
#include "training/recipe/recipe.h"

namespace hearth::forge {

struct RunOptions {
  std::string workdir;
  PlanOptions plan;
  bool wait = false;                      // for another process that runs a recipe there
  std::string hearth_program;             // for stages that run `hearth`; "" where there is none
  std::vector<std::string> copy_command;  // StageContext::Options'
  std::string program;  // what is recorded as having done it: "hearth-forge 0.1.0"
  const std::atomic<bool>* cancelled = nullptr;
};

// What happens, for whoever shows it. Progress comes from any thread, the rest from the caller's.
struct RunEvents {
  std::function<void(const Recipe&, const Plan&)> on_plan;
  std::function<void(const RecipeStage&)> on_stage_begin;
  std::function<void(double done, std::string_view doing)> on_progress;
  std::function<void(const RecipeStage&, const StageRecord&, const Artifact*)> on_stage_end;
};

struct RunSummary {
  int64_t run = 0;  // its number in the ledger
  int num_made = 0;
  int num_reused = 0;
  double seconds = 0;
};

// Errors: those of Workdir::Lock, MakePlan and the ledger; a stage's own, beginning "stage NAME: ";
// kCancelled when stopped.
Result<RunSummary> RunRecipe(const Recipe& recipe, const RunOptions& options,
                             const RunEvents& events);

}  // namespace hearth::forge
