#include "training/trainer/distillation_task.h"

#include <cmath>
#include <cstdlib>

#include "training/loss/head_loss.h"
#include "training/trainer/decoder_pass.h"
#include "training/trainer/flops.h"
#include "training/trainer/run_facts.h"

namespace hearth::forge {
namespace {

// Sizes of one vocabulary differ by this at most, since some models round theirs up.
constexpr int64_t kMostPadding = 1024;
// Tells the choice of batches from the other uses of their seeds.
constexpr uint64_t kOnPolicyPlace = 0x6f6e2d706f6c6963;

tl::unexpected<Error> Wrong(const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, "distillation: " + what);
}

Status CheckShare(const char* name, double value) {
  if (value >= 0 && value <= 1) return {};
  return Wrong(std::string(name) + " is " + std::to_string(value) + ", not 0 to 1");
}

Status CheckOptions(const DistillationOptions& options) {
  HEARTH_RETURN_IF_ERROR(CheckShare("beta", options.beta));
  HEARTH_RETURN_IF_ERROR(CheckShare("on_policy_share", options.on_policy_share));
  if (!(options.temperature > 0) || std::isinf(options.temperature))
    return Wrong("temperature is " + std::to_string(options.temperature));
  if (!(options.distillation > 0) || !(options.cross_entropy >= 0)) {
    return Wrong("the shares are " + std::to_string(options.distillation) + " and, of " +
                 "cross-entropy, " + std::to_string(options.cross_entropy));
  }
  if (options.on_policy_share > 0 && !options.write_answers)
    return Wrong("on_policy_share is " + std::to_string(options.on_policy_share) +
                 ", but nobody writes for the student");
  return {};
}

}  // namespace

Result<std::unique_ptr<DistillationTask>> DistillationTask::Make(Decoder student, Decoder teacher,
                                                                 DistillationOptions options) {
  HEARTH_RETURN_IF_ERROR(CheckOptions(options));
  const int64_t own = student.config().vocab_size, other = teacher.config().vocab_size;
  if (std::abs(own - other) > kMostPadding)
    return Wrong("the student's vocabulary has " + std::to_string(own) +
                 " tokens, the teacher's " + std::to_string(other));
  if (student.device() != teacher.device() || student.dtype() != teacher.dtype())
    return Wrong("student and teacher are on different devices or of different types");
  if (teacher.lora() != nullptr && !teacher.lora()->invocation_tokens.empty())
    return Wrong("the teacher has an activated adapter");
  teacher.SetBaseTrainable(false);
  return std::unique_ptr<DistillationTask>(
      new DistillationTask(std::move(student), std::move(teacher), std::move(options)));
}

DistillationTask::DistillationTask(Decoder student, Decoder teacher, DistillationOptions options)
    : student_(std::move(student)), teacher_(std::move(teacher)), options_(std::move(options)) {}

std::vector<NamedTensor> DistillationTask::Parameters() { return TrainableParameters(student_); }

double DistillationTask::LearningRateScale(const std::string& name) const {
  return name.find(".lora_B.") != std::string::npos ? options_.lora_b_scale : 1;
}

bool DistillationTask::OnPolicy(const BatchContext& context) const {
  // 53 bits: a number in [0, 1).
  const uint64_t hash = HashSeed(context.seed, kOnPolicyPlace, 0);
  return std::ldexp(static_cast<double>(hash >> 11), -53) < options_.on_policy_share;
}

Status DistillationTask::PrepareBatches(std::vector<Batch>& batches,
                                        const std::vector<BatchContext>& contexts) {
  std::vector<Batch*> chosen;
  std::vector<BatchContext> chosen_contexts;
  for (size_t i = 0; i < batches.size(); ++i) {
    if (!OnPolicy(contexts[i])) continue;
    chosen.push_back(&batches[i]);
    chosen_contexts.push_back(contexts[i]);
  }
  if (chosen.empty()) return {};
  return options_.write_answers(student_, chosen, chosen_contexts);
}

Result<StepFigures> DistillationTask::Run(const Batch& batch, const BatchContext& context,
                                          bool training) {
  HEARTH_RETURN_IF_ERROR(CheckBatchFor(student_, batch));
  HEARTH_RETURN_IF_ERROR(CheckBatch(batch, teacher_.config().vocab_size));
  const bool on_policy = training && OnPolicy(context);
  std::vector<std::string> names = {"divergence"};
  if (!training || options_.cross_entropy > 0) names.emplace_back("cross_entropy");
  names.emplace_back(training ? "on_policy" : "accuracy");
  const DeviceBatch rows = ToDevice(batch, student_.device());
  if (rows.num_rows() == 0) return NoFigures(student_.device(), names);

  TeacherOutputs teacher;
  {
    const at::NoGradGuard no_gradients;
    teacher = {RowsThrough(teacher_, rows, {}), teacher_.head_weight()};
  }
  const Tensor hidden =
      RowsThrough(student_, rows, {training, options_.checkpoint_activations, context.seed});
  HeadLossOptions loss_options;
  loss_options.distillation = options_.distillation;
  loss_options.cross_entropy = on_policy ? 0 : options_.cross_entropy;
  loss_options.beta = options_.beta;
  loss_options.temperature = options_.temperature;
  loss_options.count_correct = !training;
  HeadLossResult result = HeadLoss(hidden, student_.head_weight(), rows.targets, rows.weights,
                                   loss_options, teacher);
  if (training) result.loss.backward();
  const Tensor weight = rows.weights.sum();
  StepFigures figures{result.loss.detach(), weight, {}};
  if (!training && !result.cross_entropy.defined()) {
    HeadLossOptions plain;
    result.cross_entropy =
        HeadLoss(hidden, student_.head_weight(), rows.targets, rows.weights, plain).cross_entropy;
  }
  const auto weighted = [&](const Tensor& per_row) {
    return per_row.defined() ? per_row.mul(rows.weights).sum() : at::zeros_like(weight);
  };
  for (const std::string& name : names) {
    if (name == "divergence") figures.more.push_back({name, weighted(result.divergence), {}});
    if (name == "cross_entropy")
      // Its mean is over the batches that have it.
      figures.more.push_back({name, weighted(result.cross_entropy),
                              on_policy ? at::zeros_like(weight) : weight});
    if (name == "accuracy") figures.more.push_back({name, weighted(result.correct), {}});
    if (name == "on_policy")
      figures.more.push_back({name, on_policy ? weight : at::zeros_like(weight), {}});
  }
  return figures;
}

Result<StepFigures> DistillationTask::RunBatch(const Batch& batch, const BatchContext& context) {
  return Run(batch, context, /*training=*/true);
}

Result<StepFigures> DistillationTask::EvaluateBatch(const Batch& batch,
                                                    const BatchContext& context) {
  const at::NoGradGuard no_gradients;
  return Run(batch, context, /*training=*/false);
}

Status DistillationTask::Save(const std::string& folder) {
  if (!options_.save)
    return MakeError(ErrorCode::kUnsupported, folder + ": this run was not told how to save");
  return options_.save(student_, folder);
}

double DistillationTask::Flops(const Batch& batch) const {
  return TrainingFlops(student_, batch) +
         ForwardFlops(teacher_.config(), batch.segment_lengths, CountRows(batch)).sum();
}

std::vector<std::pair<std::string, std::string>> DistillationTask::Facts() const {
  auto facts = DecoderFacts(student_);
  facts.emplace_back("objective", "distillation");
  facts.emplace_back("beta", FactNumber(options_.beta));
  facts.emplace_back("temperature", FactNumber(options_.temperature));
  facts.emplace_back("distillation", FactNumber(options_.distillation));
  facts.emplace_back("cross_entropy", FactNumber(options_.cross_entropy));
  facts.emplace_back("on_policy_share", FactNumber(options_.on_policy_share));
  facts.emplace_back("lora_b_scale", FactNumber(options_.lora_b_scale));
  return facts;
}

}  // namespace hearth::forge
