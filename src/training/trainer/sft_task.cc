#include "training/trainer/sft_task.h"

#include "training/loss/head_loss.h"
#include "training/trainer/decoder_pass.h"
#include "training/trainer/run_facts.h"

namespace hearth::forge {

SftTask::SftTask(Decoder decoder, SftOptions options)
    : decoder_(std::move(decoder)), options_(std::move(options)) {}

std::vector<NamedTensor> SftTask::Parameters() { return TrainableParameters(decoder_); }

double SftTask::LearningRateScale(const std::string& name) const {
  return name.find(".lora_B.") != std::string::npos ? options_.lora_b_scale : 1;
}

Result<StepFigures> SftTask::Run(const Batch& batch, const BatchContext& context, bool training) {
  HEARTH_RETURN_IF_ERROR(CheckBatchFor(decoder_, batch));
  const bool count = options_.count_correct || !training;
  const DeviceBatch rows = ToDevice(batch, decoder_.device());
  if (rows.num_rows() == 0)
    return NoFigures(decoder_.device(),
                     count ? std::vector<std::string>{"accuracy"} : std::vector<std::string>{});
  const Tensor hidden =
      RowsThrough(decoder_, rows, {training, options_.checkpoint_activations, context.seed});
  HeadLossOptions loss_options;
  loss_options.count_correct = count;
  const HeadLossResult result =
      HeadLoss(hidden, decoder_.head_weight(), rows.targets, rows.weights, loss_options);
  if (training) result.loss.backward();
  StepFigures figures{result.loss.detach(), rows.weights.sum(), {}};
  if (count) figures.more.push_back({"accuracy", result.correct.mul(rows.weights).sum(), {}});
  return figures;
}

Result<StepFigures> SftTask::RunBatch(const Batch& batch, const BatchContext& context) {
  return Run(batch, context, /*training=*/true);
}

Result<StepFigures> SftTask::EvaluateBatch(const Batch& batch, const BatchContext& context) {
  const at::NoGradGuard no_gradients;
  return Run(batch, context, /*training=*/false);
}

Status SftTask::Save(const std::string& folder) {
  if (!options_.save)
    return MakeError(ErrorCode::kUnsupported, folder + ": this run was not told how to save");
  return options_.save(decoder_, folder);
}

double SftTask::Flops(const Batch& batch) const { return TrainingFlops(decoder_, batch); }

std::vector<std::pair<std::string, std::string>> SftTask::Facts() const {
  auto facts = DecoderFacts(decoder_);
  facts.emplace_back("objective", "next token");
  facts.emplace_back("lora_b_scale", FactNumber(options_.lora_b_scale));
  return facts;
}

}  // namespace hearth::forge
