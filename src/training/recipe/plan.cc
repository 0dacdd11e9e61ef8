#include "training/recipe/plan.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/sha256.h"
#include "training/recipe/nearest_name.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;

std::string AtLine(const Recipe& recipe, int line) {
  return (recipe.path.empty() ? "" : recipe.path + ": ") + "line " + std::to_string(line) + ": ";
}

Status CheckStageName(const Recipe& recipe, const char* option, const std::string& name) {
  if (name.empty() || recipe.FindStage(name) >= 0) return {};
  std::vector<std::string> names;
  for (const RecipeStage& stage : recipe.stages) names.push_back(stage.name);
  return MakeError(ErrorCode::kInvalidArgument, std::string(option) + " " + name +
                                                    ": the recipe has no such stage" +
                                                    NearestHint(name, names));
}

// The hash of each file of the recipe that a stage reads; the others need not be there.
class FileContents {
 public:
  FileContents(const Recipe& recipe, Ledger* ledger)
      : recipe_(recipe), ledger_(ledger), contents_(recipe.files.size()) {}

  Result<PathContent> Of(const RecipeInput& input) {
    std::optional<PathContent>& content = contents_[static_cast<size_t>(input.file)];
    if (content) return *content;
    const RecipeFile& file = recipe_.files[static_cast<size_t>(input.file)];
    Result<PathContent> read = HashPath(file.path, [this](const std::string& path) {
      return ledger_ == nullptr ? Sha256OfFile(path) : ledger_->HashOfFile(path);
    });
    if (!read) {
      std::string hint;
      if (file.name.empty()) {
        std::vector<std::string> names;
        for (const RecipeStage& stage : recipe_.stages)
          for (const OutputSpec& output : stage.declaration().outputs)
            names.push_back(stage.name + "." + output.name);
        hint = NearestHint(input.written, names);
      }
      return MakeError(read.error().code, AtLine(recipe_, input.line) + input.key + ": " +
                                              read.error().message + hint);
    }
    if (!file.sha256.empty() && file.sha256 != read->sha256) {
      return MakeError(ErrorCode::kCorrupt, AtLine(recipe_, file.line) + file.path +
                                                " has the SHA-256 " + read->sha256 +
                                                ", the recipe wants " + file.sha256);
    }
    content = *read;
    return *content;
  }

 private:
  const Recipe& recipe_;
  Ledger* ledger_;
  std::vector<std::optional<PathContent>> contents_;
};

}  // namespace

std::string_view PlannedWorkName(PlannedWork work) {
  switch (work) {
    case PlannedWork::kReuse:
      return "is there";
    case PlannedWork::kResume:
      return "goes on";
    case PlannedWork::kMake:
      return "will run";
    case PlannedWork::kSkip:
      return "left out";
  }
  return "";
}

std::optional<Artifact> ReadArtifact(const std::string& folder, std::string_view key, bool verify) {
  std::ifstream file(folder + "/artifact.json", std::ios::binary);
  if (!file) return std::nullopt;
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  Result<Artifact> artifact = ArtifactFromJson(text);
  if (!artifact || artifact->key != key) return std::nullopt;
  for (const ArtifactOutput& output : artifact->outputs) {
    const std::string path = folder + "/" + output.file;
    const Result<int64_t> size = SizeOfPath(path);
    if (!size || *size != output.size_bytes) return std::nullopt;
    if (!verify) continue;
    const Result<PathContent> content = HashPath(path, Sha256OfFile);
    if (!content || content->sha256 != output.sha256) return std::nullopt;
  }
  return *std::move(artifact);
}

Result<Plan> MakePlan(const Recipe& recipe, const std::string& workdir, Ledger* ledger,
                      const PlanOptions& options) {
  HEARTH_RETURN_IF_ERROR(CheckStageName(recipe, "--from", options.from));
  HEARTH_RETURN_IF_ERROR(CheckStageName(recipe, "--only", options.only));
  Plan plan;
  FileContents files(recipe, ledger);
  std::string identity = recipe.name + "\n";
  std::vector<bool> again(recipe.stages.size(), false);
  for (size_t place = 0; place < recipe.stages.size(); ++place) {
    const RecipeStage& stage = recipe.stages[place];
    PlannedStage planned;
    planned.stage = static_cast<int>(place);
    again[place] = stage.name == options.from;
    for (const RecipeInput& input : stage.inputs) {
      ArtifactInput from;
      from.key = input.key;
      if (input.stage >= 0) {
        from.artifact = plan.stages[static_cast<size_t>(input.stage)].key;
        from.output = input.output;
        if (std::ranges::find(planned.reads_from, input.stage) == planned.reads_from.end())
          planned.reads_from.push_back(input.stage);
        again[place] = again[place] || again[static_cast<size_t>(input.stage)];
      } else {
        HEARTH_ASSIGN_OR_RETURN(const PathContent content, files.Of(input));
        const RecipeFile& file = recipe.files[static_cast<size_t>(input.file)];
        from.path = file.path;
        from.sha256 = content.sha256;
        from.size_bytes = content.size_bytes;
        from.licence = file.licence;
        from.source = file.source;
      }
      planned.inputs.push_back(std::move(from));
    }
    planned.key = ArtifactKey(stage.declaration(),
                              CanonicalParameters(stage.parameters, stage.declaration().keys),
                              planned.inputs);
    std::error_code error;
    if (!again[place] &&
        ReadArtifact(workdir + "/artifacts/" + planned.key, planned.key, options.verify)) {
      planned.work = PlannedWork::kReuse;
    } else if (!options.only.empty() && options.only != stage.name) {
      planned.work = PlannedWork::kSkip;
    } else if (!again[place] && fs::exists(workdir + "/working/" + planned.key, error)) {
      planned.work = PlannedWork::kResume;
    }
    identity += stage.name + " " + planned.key + "\n";
    plan.stages.push_back(std::move(planned));
  }
  if (!options.only.empty()) {
    for (const int input :
         plan.stages[static_cast<size_t>(recipe.FindStage(options.only))].reads_from) {
      if (plan.stages[static_cast<size_t>(input)].work != PlannedWork::kReuse) {
        return MakeError(ErrorCode::kInvalidArgument,
                         "--only " + options.only + ": it reads from " +
                             recipe.stages[static_cast<size_t>(input)].name +
                             ", which is not made yet");
      }
    }
  }
  plan.identity = Sha256Of(identity);
  return plan;
}

}  // namespace hearth::forge
