// distill: a student learns a teacher's whole distribution over the next token.

#include "training/export/adapter.h"
#include "training/export/save_model.h"
#include "training/generate/conversations.h"
#include "training/generate/student_writer.h"
#include "training/recipe/stages/declarations.h"
#include "training/recipe/stages/kinds.h"
#include "training/recipe/stages/model_options.h"
#include "training/recipe/stages/processes.h"
#include "training/recipe/stages/training_keys.h"
#include "training/recipe/stages/training_run.h"
#include "training/trainer/distillation_task.h"

namespace hearth::forge {
namespace {

class Distill final : public StageKind {
 public:
  const StageDeclaration& declaration() const override { return DistillDeclaration(); }

  Result<StageResult> Run(const StageContext& context) const override {
    if (StartsCopies(context)) return RunInCopies(*this, context);
    const Parameters& parameters = context.parameters();
    const std::string& base = context.Input("base_model");
    HEARTH_RETURN_IF_ERROR(CheckDatasetTypes(context));
    HEARTH_ASSIGN_OR_RETURN(TrainingRun run, TrainingRun::Begin(context));
    HEARTH_ASSIGN_OR_RETURN(const ChatTokenizer chat, ChatTokenizer::Load(base));
    DatasetOptions data_options = DataOptionsOf(context);
    data_options.rows.learn_prompts = parameters.Bool("train_on_inputs");
    HEARTH_ASSIGN_OR_RETURN(Dataset data, ReadDataset(chat, data_options));
    HEARTH_ASSIGN_OR_RETURN(const DecoderOptions model_options, ModelOptionsOf(parameters));
    HEARTH_ASSIGN_OR_RETURN(Decoder student, Decoder::Load(base, model_options));
    HEARTH_ASSIGN_OR_RETURN(Decoder teacher,
                            Decoder::Load(context.Input("teacher_model"), model_options));
    student.SetBaseTrainable(true);
    DistillationOptions options;
    options.beta = parameters.Float("beta");
    options.temperature = parameters.Float("kd_temperature");
    options.distillation = parameters.Float("kd_alpha");
    options.cross_entropy = parameters.Float("kd_ce_alpha");
    options.checkpoint_activations = parameters.Bool("gradient_checkpointing");
    options.on_policy_share = parameters.Float("on_policy_share");
    if (options.on_policy_share > 0) {
      StudentWriterOptions writer;
      writer.temperature = parameters.Float("temperature");
      writer.max_new_tokens = parameters.Int("max_new_tokens");
      writer.stop_tokens = StopTokens(chat);
      options.write_answers = MakeStudentWriter(writer);
    }
    HEARTH_ASSIGN_OR_RETURN(
        const std::unique_ptr<DistillationTask> task,
        DistillationTask::Make(std::move(student), std::move(teacher), options));
    const auto train_store = std::make_shared<const TokenStore>(std::move(data.train));
    const auto held_store = std::make_shared<const TokenStore>(std::move(data.held_out));
    PackingOptions packing = PackingOptionsOf(parameters);
    HEARTH_ASSIGN_OR_RETURN(const auto train, PackedBatches::Make(train_store, packing));
    std::unique_ptr<PackedBatches> held_out;
    if (held_store->num_rows() > 0) {
      packing.shuffle = false;
      HEARTH_ASSIGN_OR_RETURN(held_out, PackedBatches::Make(held_store, packing));
    }
    HEARTH_ASSIGN_OR_RETURN(const TrainSummary summary,
                            Train(*task, *train, held_out.get(), run.options()));
    HEARTH_ASSIGN_OR_RETURN(StageResult result, run.End(summary));
    if (!run.leads()) return result;
    HEARTH_ASSIGN_OR_RETURN(const SavedFolder saved,
                            SaveFolder(task->student(), base, context.Output("model")));
    for (const std::string& note : saved.notes) context.Log(note);
    return result;
  }
};

}  // namespace

const StageKind& DistillStage() {
  static const Distill kind;
  return kind;
}

}  // namespace hearth::forge
