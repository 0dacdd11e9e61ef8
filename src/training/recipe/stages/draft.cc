// draft_head, draft_model and measure_draft: what guesses the base's next tokens.

#include <fstream>
#include <nlohmann/json.hpp>

#include "training/draft/train_draft.h"
#include "training/recipe/stages/declarations.h"
#include "training/recipe/stages/kinds.h"
#include "training/recipe/stages/model_options.h"
#include "training/recipe/stages/processes.h"
#include "training/recipe/stages/training_keys.h"
#include "training/recipe/stages/training_run.h"

namespace hearth::forge {
namespace {

class DraftKind final : public StageKind {
 public:
  explicit DraftKind(bool head) : head_(head) {}

  const StageDeclaration& declaration() const override {
    return head_ ? DraftHeadDeclaration() : DraftModelDeclaration();
  }

  Result<StageResult> Run(const StageContext& context) const override {
    if (StartsCopies(context)) return RunInCopies(*this, context);
    const Parameters& parameters = context.parameters();
    HEARTH_RETURN_IF_ERROR(CheckDatasetTypes(context));
    HEARTH_ASSIGN_OR_RETURN(TrainingRun run, TrainingRun::Begin(context));
    TrainDraftOptions options;
    options.base = context.Input("base_model");
    options.output = context.Output("draft");
    options.device = DeviceNameOf(parameters);
    options.dtype = DtypeName(parameters);
    options.data = DataOptionsOf(context);
    options.packing = PackingOptionsOf(parameters);
    options.head = head_;
    options.vocab_size = parameters.Int("draft_vocab_size");
    HEARTH_ASSIGN_OR_RETURN(options.draft.layers, LayersOf(parameters, "draft_layers"));
    options.draft.ffn_size = parameters.Int("draft_ffn_size");
    options.draft.seed = static_cast<uint64_t>(parameters.Int("seed"));
    options.task.types = {TypeOfKey(parameters, "layer_type"), TypeOfKey(parameters, "head_type")};
    options.task.quantization_aware = parameters.Bool("quantization_aware");
    options.task.distillation = parameters.Float("kd_alpha");
    options.task.cross_entropy = parameters.Float("kd_ce_alpha");
    if (head_) {
      HEARTH_ASSIGN_OR_RETURN(options.draft.taps, LayersOf(parameters, "taps"));
      options.task.num_steps = parameters.SmallInt("unroll_steps");
      options.task.step_decay = parameters.Float("step_decay");
      options.task.unreached_share = parameters.Float("unreached_share");
    }
    options.trainer = run.options();
    HEARTH_ASSIGN_OR_RETURN(const TrainDraftResult trained, TrainDraft(options));
    HEARTH_ASSIGN_OR_RETURN(StageResult result, run.End(trained.summary));
    const auto add = [&](const char* name, double value, const char* unit) {
      result.figures.push_back({name, value, {}, {}, unit});
    };
    add("megabytes_per_guess", static_cast<double>(trained.bytes_per_guess) * 1e-6, "MB");
    add("megabytes", static_cast<double>(trained.bytes_in_all) * 1e-6, "MB");
    add("parameters", static_cast<double>(trained.num_parameters), "");
    add("vocabulary_coverage", trained.vocabulary.coverage, "");
    add("rows", static_cast<double>(trained.data.rows), "");
    return result;
  }

 private:
  bool head_;
};

class MeasureDraftKind final : public StageKind {
 public:
  const StageDeclaration& declaration() const override { return MeasureDraftDeclaration(); }

  Result<StageResult> Run(const StageContext& context) const override {
    const Parameters& parameters = context.parameters();
    MeasureDraftOptions options;
    options.base = context.Input("base_model");
    options.drafts = {context.Input("draft")};
    options.device = DeviceNameOf(parameters);
    options.dtype = DtypeName(parameters);
    options.prompt_files = context.Inputs("datasets");
    options.num_prompts = parameters.Int("num_prompts");
    options.max_answer_tokens = parameters.Int("max_new_tokens");
    options.batch = parameters.Int("batch_size");
    options.num_guesses = parameters.SmallInt("num_guesses");
    HEARTH_ASSIGN_OR_RETURN(const MeasureDraftResult measured, MeasureDrafts(options));
    const DraftQuality& quality = measured.drafts.front().quality;
    StageResult result;
    SetDevice(parameters, result);
    const auto add = [&](const std::string& name, double value) {
      result.figures.push_back({name, value, {}, {}, ""});
    };
    add("tokens_per_verification", quality.tokens_per_verification.back());
    add("agreement", quality.agreement);
    for (size_t i = 0; i < quality.tokens_per_verification.size(); ++i) {
      add("tokens_per_verification.k" + std::to_string(i + 1), quality.tokens_per_verification[i]);
      add("right_after." + std::to_string(i), quality.right_after[i]);
    }
    add("answers", static_cast<double>(measured.answers));
    add("answer_tokens", static_cast<double>(measured.answer_tokens));
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    for (const StageFigure& figure : result.figures) json[figure.name] = figure.value;
    std::ofstream file(context.Output("report"), std::ios::binary);
    file << json.dump(1) << "\n";
    file.close();
    if (!file) return MakeError(ErrorCode::kIo, context.Output("report") + " cannot be written");
    return result;
  }
};

}  // namespace

const StageKind& DraftHeadStage() {
  static const DraftKind kind(/*head=*/true);
  return kind;
}

const StageKind& DraftModelStage() {
  static const DraftKind kind(/*head=*/false);
  return kind;
}

const StageKind& MeasureDraftStage() {
  static const MeasureDraftKind kind;
  return kind;
}

}  // namespace hearth::forge
