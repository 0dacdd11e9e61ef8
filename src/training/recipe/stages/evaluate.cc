// evaluate: how good a model is at tasks, by `hearth eval`.

#include <filesystem>
#include <fstream>

#include "training/recipe/stages/hearth_program.h"
#include "training/recipe/stages/kinds.h"

namespace hearth::forge {
namespace {

class Evaluate final : public StageKind {
 public:
  const StageDeclaration& declaration() const override {
    static const StageDeclaration declaration = {
        "evaluate",
        1,
        "Measures how good a model is at tasks, with `hearth eval`. A stopped evaluation goes on "
        "with the items that are missing.",
        {KeySpec::Input("model", {content::kModel}, "The model, a GGUF").Required(),
         KeySpec::Strings("suites",
                          "What to measure: humaneval, humaneval_cpp, humaneval_js, gsm8k, bbh, "
                          "bfcl, perplexity, kl, vicuna_bench (`hearth eval --help` lists them)")
             .Required(),
         KeySpec::Input("data", {}, "Folder with the suites' data; else HEARTH_DATA names it"),
         KeySpec::Input("text", {}, "perplexity, kl: the text"),
         KeySpec::Input("reference", {content::kModel}, "kl: the model to compare with"),
         KeySpec::Int("limit", "Items of each suite; 0: all").Default(0).Range(0, 1 << 30),
         KeySpec::Float("temperature", "Of the answers; 0: greedy").Default(0).Range(0, 100),
         KeySpec::Int("max_tokens", "Of an answer; 0: as the suite has it")
             .Default(0)
             .Range(0, 1 << 20),
         KeySpec::Int("seed", "Of the answers, with a temperature").Default(0).Range(0, 1LL << 53),
         KeySpec::Int("parallel", "Items under way at once")
             .Default(16)
             .Range(1, 256)
             .WithoutEffect(),
         KeySpec::Float("timeout_hours", "After which it is given up")
             .Default(24)
             .Range(0.001, 10000)
             .WithoutEffect()},
        {{"report", "eval", content::kReport,
          "The folder of `hearth eval`: results.json, items, a page"}}};
    return declaration;
  }

  Result<StageResult> Run(const StageContext& context) const override {
    const Parameters& parameters = context.parameters();
    const std::string folder = context.scratch_folder() + "/eval";
    std::vector<std::string> arguments = {"eval"};
    for (const std::string& suite : parameters.Strings("suites")) {
      if (suite.starts_with("-"))
        return MakeError(ErrorCode::kInvalidArgument, suite + " is no suite");
      arguments.push_back(suite);
    }
    const auto add = [&](const std::string& name, const std::string& value) {
      arguments.push_back(name);
      arguments.push_back(value);
    };
    add("--model", context.Input("model"));
    if (context.HasInput("data")) add("--data", context.Input("data"));
    if (context.HasInput("text")) add("--text", context.Input("text"));
    if (context.HasInput("reference")) add("--reference", context.Input("reference"));
    add("--limit", std::to_string(parameters.Int("limit")));
    add("--temperature", ValueText(parameters.Float("temperature")));
    add("--max-tokens", std::to_string(parameters.Int("max_tokens")));
    add("--seed", std::to_string(parameters.Int("seed")));
    add("--parallel", std::to_string(parameters.Int("parallel")));
    add("--output", folder);
    arguments.emplace_back("--json");
    std::error_code error;
    if (std::filesystem::exists(folder + "/run.json", error)) arguments.emplace_back("--resume");
    HEARTH_ASSIGN_OR_RETURN(
        const nlohmann::ordered_json results,
        RunHearth(context, arguments, 3600 * parameters.Float("timeout_hours")));

    StageResult result;
    const auto suites = results.find("suites");
    if (suites == results.end() || !suites->is_array())
      return MakeError(ErrorCode::kCorrupt, "hearth eval printed no suites");
    for (const auto& suite : *suites) {
      if (!suite.is_object() || !suite.contains("suite") || !suite["suite"].is_string()) continue;
      const auto name = suite["suite"].get<std::string>();
      nlohmann::ordered_json score = {{"value", suite.value("score", nlohmann::ordered_json())},
                                      {"low", suite.value("low", nlohmann::ordered_json())},
                                      {"high", suite.value("high", nlohmann::ordered_json())}};
      nlohmann::ordered_json entry = {{name, std::move(score)}};
      for (const char* part : {"figures", "categories", "judged", "standard_error", "noise_floor"})
        if (suite.contains(part)) entry[name + "." + part] = suite[part];
      for (StageFigure& figure : FiguresIn(entry)) result.figures.push_back(std::move(figure));
    }
    std::filesystem::rename(folder, context.Output("report"), error);
    if (error) return MakeError(ErrorCode::kIo, folder + ": " + error.message());
    return result;
  }
};

}  // namespace

const StageKind& EvaluateStage() {
  static const Evaluate kind;
  return kind;
}

}  // namespace hearth::forge
