// bench: how fast a model runs on this machine, by `hearth bench`.

#include <fstream>

#include "training/recipe/stages/hearth_program.h"
#include "training/recipe/stages/kinds.h"

namespace hearth::forge {
namespace {

class Bench final : public StageKind {
 public:
  const StageDeclaration& declaration() const override {
    static const StageDeclaration declaration = {
        "bench",
        1,
        "Measures how fast a model runs on this machine, with `hearth bench`. Nothing else should "
        "run beside it.",
        {KeySpec::Input("model", {content::kModel}, "The model, a GGUF").Required(),
         KeySpec::Int("threads", "Threads; 0: as many as cores").Default(0).Range(0, 1024),
         KeySpec::Bool("quick", "Leave out long prompts, long contexts and batches").Default(true),
         KeySpec::Float("timeout_hours", "After which it is given up")
             .Default(2)
             .Range(0.001, 1000)
             .WithoutEffect()},
        {{"report", "bench.json", content::kReport, "What `hearth bench --json` printed"}}};
    return declaration;
  }

  Result<StageResult> Run(const StageContext& context) const override {
    const Parameters& parameters = context.parameters();
    std::vector<std::string> arguments = {"bench", "--model", context.Input("model"), "--json"};
    if (parameters.Int("threads") > 0) {
      arguments.emplace_back("--threads");
      arguments.push_back(std::to_string(parameters.Int("threads")));
    }
    if (parameters.Bool("quick")) arguments.emplace_back("--quick");
    HEARTH_ASSIGN_OR_RETURN(
        const nlohmann::ordered_json results,
        RunHearth(context, arguments, 3600 * parameters.Float("timeout_hours")));
    std::ofstream file(context.Output("report"), std::ios::binary);
    file << results.dump(1) << "\n";
    file.close();
    if (!file) return MakeError(ErrorCode::kIo, context.Output("report") + " cannot be written");
    StageResult result;
    result.figures = FiguresIn(results);
    return result;
  }
};

}  // namespace

const StageKind& BenchStage() {
  static const Bench kind;
  return kind;
}

}  // namespace hearth::forge
