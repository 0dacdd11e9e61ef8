#pragma once
// What running a recipe would do: the artifact of each stage by name, and whether it is there, can
// be gone on with, or is to be made.

#include <string>
#include <vector>

#include "base/result.h"
#include "training/recipe/artifact.h"
#include "training/recipe/ledger.h"
#include "training/recipe/recipe.h"

namespace hearth::forge {

enum class PlannedWork {
  kReuse,   // the artifact is there
  kResume,  // an earlier attempt left a working folder
  kMake,
  kSkip,  // not asked for (--only)
};
std::string_view PlannedWorkName(PlannedWork work);

struct PlannedStage {
  int stage = 0;  // place in Recipe::stages
  std::string key;
  PlannedWork work = PlannedWork::kMake;
  std::vector<ArtifactInput> inputs;
  std::vector<int> reads_from;  // places of stages, each once
};

struct Plan {
  // Tells runs apart: the recipe's name and every stage's name and artifact.
  std::string identity;
  std::vector<PlannedStage> stages;  // as in Recipe::stages
};

struct PlanOptions {
  std::string from;     // this stage and those that depend on it are made again
  std::string only;     // no stage but this one is made
  bool verify = false;  // artifacts are read and their hashes compared
};

// `ledger` may be null (a working folder that is not there yet): nothing is reused, hashes are not
// remembered. Errors: those of input files, with the recipe's line: kNotFound; kCorrupt for another
// sha256 than the recipe says; kInvalidArgument for --from and --only of no stage, and --only
// of a stage whose inputs are not there.
Result<Plan> MakePlan(const Recipe& recipe, const std::string& workdir, Ledger* ledger,
                      const PlanOptions& options);

// The artifact of that key if its folder is there with all outputs in their sizes, or, with
// `verify`, their hashes.
std::optional<Artifact> ReadArtifact(const std::string& folder, std::string_view key, bool verify);

}  // namespace hearth::forge
