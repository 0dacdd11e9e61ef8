// sft and lora: learning answers to given questions, with all weights or with an adapter.

#include "training/data/chat_tokenizer.h"
#include "training/data/tokenized_row.h"
#include "training/export/adapter.h"
#include "training/export/save_model.h"
#include "training/recipe/stages/declarations.h"
#include "training/recipe/stages/kinds.h"
#include "training/recipe/stages/model_options.h"
#include "training/recipe/stages/processes.h"
#include "training/recipe/stages/training_keys.h"
#include "training/recipe/stages/training_run.h"
#include "training/trainer/sft_task.h"

namespace hearth::forge {
namespace {

LoraOptions LoraOptionsOf(const Parameters& parameters) {
  LoraOptions options;
  options.rank = parameters.Int("lora_r");
  options.alpha = parameters.Float("lora_alpha");
  options.rs_lora = parameters.Bool("peft_use_rslora");
  options.dropout = parameters.Float("lora_dropout");
  options.targets = parameters.Strings("lora_target_modules");
  if (options.targets == std::vector<std::string>{"all"}) options.targets.clear();
  return options;
}

struct Trained {
  SftTask task;
  StageResult result;
  bool leads = true;
};

Result<Trained> Tune(const StageContext& context, bool with_adapter) {
  const Parameters& parameters = context.parameters();
  const std::string& base = context.Input("base_model");
  HEARTH_RETURN_IF_ERROR(CheckDatasetTypes(context));
  HEARTH_ASSIGN_OR_RETURN(TrainingRun run, TrainingRun::Begin(context));
  HEARTH_ASSIGN_OR_RETURN(const ChatTokenizer chat, ChatTokenizer::Load(base));
  const bool activated = with_adapter && parameters.Bool("activated");
  DatasetOptions data_options = DataOptionsOf(context);
  data_options.rows.learn_prompts = parameters.Bool("train_on_inputs");
  data_options.rows.activated = activated;
  HEARTH_ASSIGN_OR_RETURN(Dataset data, ReadDataset(chat, data_options));
  context.Log(std::to_string(data.train_statistics.rows) + " rows, " +
              std::to_string(data.train_statistics.learned) + " tokens to learn; " +
              std::to_string(data.held_out_statistics.rows) + " rows held out");
  for (const auto& [reason, count] : data.train_statistics.left_out)
    context.Log("left out: " + std::to_string(count) + " rows, " + reason);

  HEARTH_ASSIGN_OR_RETURN(const DecoderOptions model_options, ModelOptionsOf(parameters));
  HEARTH_ASSIGN_OR_RETURN(Decoder decoder, Decoder::Load(base, model_options));
  SftOptions sft;
  sft.checkpoint_activations = parameters.Bool("gradient_checkpointing");
  if (with_adapter) {
    LoraOptions lora = LoraOptionsOf(parameters);
    if (activated) {
      HEARTH_ASSIGN_OR_RETURN(lora.invocation_tokens, AssistantHeader(chat));
    }
    HEARTH_RETURN_IF_ERROR(decoder.AttachLora(lora, static_cast<uint64_t>(parameters.Int("seed"))));
    sft.lora_b_scale = parameters.Float("loraplus_lr_ratio");
  } else {
    decoder.SetBaseTrainable(true);
  }
  const double num_rows = static_cast<double>(data.train_statistics.rows);
  const auto train_store = std::make_shared<const TokenStore>(std::move(data.train));
  const auto held_store = std::make_shared<const TokenStore>(std::move(data.held_out));
  PackingOptions packing = PackingOptionsOf(parameters);
  HEARTH_ASSIGN_OR_RETURN(const auto train, PackedBatches::Make(train_store, packing));
  std::unique_ptr<PackedBatches> held_out;
  if (held_store->num_rows() > 0) {
    packing.shuffle = false;
    HEARTH_ASSIGN_OR_RETURN(held_out, PackedBatches::Make(held_store, packing));
  }
  SftTask task(std::move(decoder), sft);
  HEARTH_ASSIGN_OR_RETURN(const TrainSummary summary,
                          Train(task, *train, held_out.get(), run.options()));
  HEARTH_ASSIGN_OR_RETURN(StageResult result, run.End(summary));
  result.figures.push_back({"rows", num_rows, {}, {}, ""});
  return Trained{std::move(task), std::move(result), run.leads()};
}

class SftKind final : public StageKind {
 public:
  const StageDeclaration& declaration() const override { return SftDeclaration(); }
  Result<StageResult> Run(const StageContext& context) const override {
    if (StartsCopies(context)) return RunInCopies(*this, context);
    HEARTH_ASSIGN_OR_RETURN(Trained trained, Tune(context, /*with_adapter=*/false));
    if (!trained.leads) return std::move(trained.result);
    HEARTH_ASSIGN_OR_RETURN(
        const SavedFolder saved,
        SaveFolder(trained.task.decoder(), context.Input("base_model"), context.Output("model")));
    for (const std::string& note : saved.notes) context.Log(note);
    return std::move(trained.result);
  }
};

class LoraKind final : public StageKind {
 public:
  const StageDeclaration& declaration() const override { return LoraDeclaration(); }
  Result<StageResult> Run(const StageContext& context) const override {
    if (StartsCopies(context)) return RunInCopies(*this, context);
    HEARTH_ASSIGN_OR_RETURN(Trained trained, Tune(context, /*with_adapter=*/true));
    if (!trained.leads) return std::move(trained.result);
    const Decoder& decoder = trained.task.decoder();
    const Adapter adapter = AdapterOf(decoder);
    HEARTH_RETURN_IF_ERROR(SavePeftAdapter(adapter, context.Output("adapter")));
    HEARTH_RETURN_IF_ERROR(
        SaveGgufAdapter(adapter, decoder.config(), context.Output("gguf"), "adapter"));
    return std::move(trained.result);
  }
};

}  // namespace

const StageKind& SftStage() {
  static const SftKind kind;
  return kind;
}

const StageKind& LoraStage() {
  static const LoraKind kind;
  return kind;
}

}  // namespace hearth::forge
