// curate: the rows worth training on.

#include "training/curate/curate.h"

#include <filesystem>

#include "training/recipe/stages/kinds.h"
#include "training/recipe/stages/training_keys.h"

namespace hearth::forge {
namespace {

class CurateKind final : public StageKind {
 public:
  const StageDeclaration& declaration() const override {
    static const StageDeclaration declaration = {
        "curate",
        1,
        "Chooses the rows worth training on and accounts for every other one: language, quality, "
        "duplicates, and whatever an evaluation set holds.",
        {KeySpec::Datasets("datasets", {content::kRows}, "The rows").Required(),
         KeySpec::Inputs("evaluation_sets", {}, "Rows that hold something of these files go"),
         KeySpec::Strings("languages", "Codes of languages that are kept, as CLD2 has them; or any")
             .Default(std::vector<std::string>{"en"}),
         KeySpec::Bool("quality_rules", "Rows with a plain fault go").Default(true),
         KeySpec::Float("min_quality",
                        "The classifier's mark below which a row goes; 0: all stay; without it the "
                        "classifier's own threshold")
             .Range(0, 1),
         KeySpec::Bool("keep_prompts", "Keep conversations without an answer, to be answered later")
             .Default(true),
         KeySpec::Bool("exact_duplicates", "Of equal rows one stays").Default(true),
         KeySpec::Bool("near_duplicates", "Of nearly equal rows the best stays").Default(true),
         KeySpec::Float("similarity", "Jaccard similarity from which rows are nearly equal")
             .Default(0.8)
             .Range(0.5, 1),
         KeySpec::Int("num_threads", "0: one per core").Default(0).Range(0, 1024).WithoutEffect()},
        {{"rows", "kept.jsonl", content::kRows, "The rows that are kept"},
         {"removed", "removed.jsonl", content::kReport, "The others, each with its reason"},
         {"report", "report.json", content::kReport, "Counts by reason and by file"},
         {"samples", "samples.jsonl", content::kSamples, "The first rows kept"}}};
    return declaration;
  }

  Result<StageResult> Run(const StageContext& context) const override {
    const Parameters& parameters = context.parameters();
    HEARTH_RETURN_IF_ERROR(CheckDatasetTypes(context));
    CurateOptions options;
    options.inputs = context.Inputs("datasets");
    options.output_folder = std::filesystem::path(context.Output("rows")).parent_path().string();
    options.languages = parameters.Strings("languages");
    if (options.languages == std::vector<std::string>{"any"}) options.languages.clear();
    options.quality_rules = parameters.Bool("quality_rules");
    options.limits.keep_prompts = parameters.Bool("keep_prompts");
    if (parameters.Has("min_quality")) options.min_quality = parameters.Float("min_quality");
    options.exact_duplicates = parameters.Bool("exact_duplicates");
    options.near_duplicates = parameters.Bool("near_duplicates");
    options.similarity = parameters.Float("similarity");
    options.evaluation_sets = context.Inputs("evaluation_sets");
    options.num_threads = parameters.SmallInt("num_threads");
    options.on_progress = [&context](std::string_view what, double done) {
      context.Progress(done, what);
      return !context.cancelled();
    };
    HEARTH_ASSIGN_OR_RETURN(const CurateReport report, Curate(options));
    StageResult result;
    const auto add = [&](const std::string& name, int64_t count) {
      result.figures.push_back({name, static_cast<double>(count), {}, {}, "rows"});
    };
    add("rows_in", report.counts.rows_in);
    add("kept", report.counts.kept);
    for (const auto& [reason, count] : report.counts.removed) add("removed." + reason, count);
    HEARTH_RETURN_IF_ERROR(WriteSamples(context.Output("rows"), context.Output("samples")));
    return result;
  }
};

}  // namespace

const StageKind& CurateStage() {
  static const CurateKind kind;
  return kind;
}

}  // namespace hearth::forge
