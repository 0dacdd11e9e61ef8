#include "training/recipe/stages/training_run.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "training/recipe/report_curves.h"
#include "training/recipe/stages/model_options.h"

namespace hearth::forge {
namespace {

std::string CurvesPath(const StageContext& context) {
  return context.scratch_folder() + "/" + kCurvesFile;
}

ScheduleOptions ScheduleOf(const Parameters& parameters) {
  ScheduleOptions schedule;
  // The key's choices are the schedule's names.
  schedule.kind = ParseSchedule(parameters.String("lr_scheduler")).value_or(ScheduleKind::kCosine);
  schedule.learning_rate = parameters.Float("learning_rate");
  schedule.final_share = parameters.Float("lr_final_share");
  schedule.warmup_steps = parameters.Int("warmup_steps");
  schedule.warmup_share = parameters.Float("warmup_ratio");
  schedule.decay_share = parameters.Float("decay_ratio");
  return schedule;
}

}  // namespace

DatasetOptions DataOptionsOf(const StageContext& context) {
  const Parameters& parameters = context.parameters();
  DatasetOptions options;
  options.files = context.Inputs("datasets");
  options.rows.max_tokens = parameters.Int("sequence_len");
  options.held_out = parameters.Float("val_set_size");
  options.split_seed = static_cast<uint64_t>(parameters.Int("seed"));
  options.scratch_folder = context.scratch_folder();
  options.num_threads = parameters.SmallInt("preprocess_threads");
  options.on_progress = [&context](double done) { context.Progress(0, done < 1 ? "reading" : ""); };
  return options;
}

PackingOptions PackingOptionsOf(const Parameters& parameters) {
  PackingOptions options;
  options.batch_tokens = parameters.Int("micro_batch_size") * parameters.Int("sequence_len");
  options.seed = static_cast<uint64_t>(parameters.Int("seed"));
  return options;
}

Result<TrainingRun> TrainingRun::Begin(const StageContext& context) {
  const Parameters& parameters = context.parameters();
  TrainingRun run(context);
  HEARTH_ASSIGN_OR_RETURN(run.curves_, JsonlSink::Open(CurvesPath(context)));
  TrainerOptions& options = run.options_;
  HEARTH_ASSIGN_OR_RETURN(const ProcessEnvironment environment, ReadProcessEnvironment());
  if (parameters.Int("num_processes") > 1 && environment.world_size > 1) {
    HEARTH_ASSIGN_OR_RETURN(const at::Device device, ParseDevice(DeviceNameOf(parameters)));
    HEARTH_ASSIGN_OR_RETURN(run.group_, ProcessGroup::Join(environment, device));
    options.group = run.group_.get();
  }
  options.max_steps = parameters.Int("max_steps");
  options.epochs = parameters.Float("num_epochs");
  options.batches_per_step = parameters.Int("gradient_accumulation_steps");
  options.seed = static_cast<uint64_t>(parameters.Int("seed"));
  options.schedule = ScheduleOf(parameters);
  options.beta1 = parameters.Float("adam_beta1");
  options.beta2 = parameters.Float("adam_beta2");
  options.eps = parameters.Float("adam_epsilon");
  options.weight_decay = parameters.Float("weight_decay");
  options.max_gradient_norm = parameters.Float("max_grad_norm");
  options.watchdog.spike_factor = parameters.Float("loss_watchdog_threshold");
  options.watchdog.patience = parameters.Int("loss_watchdog_patience");
  options.evaluate_every = parameters.Int("eval_steps");
  options.evaluate_batches = parameters.Int("eval_batches");
  options.evaluate_first = true;
  options.checkpoint_folder = context.scratch_folder() + "/checkpoints";
  options.checkpoint_every = parameters.Int("save_steps");
  options.keep_checkpoints = parameters.SmallInt("save_total_limit");
  options.deterministic = parameters.Bool("deterministic");
  options.log_every = parameters.Int("logging_steps");
  options.handle_signals = false;  // the program's, which the context passes on
  options.should_stop = [&context] { return context.cancelled(); };
  options.sinks = {run.curves_.get()};
  options.on_progress = [&context](const TrainProgress& at) {
    char text[120];
    std::snprintf(text, sizeof text, "step %lld/%lld, loss %.4f, %.0f tokens/s",
                  static_cast<long long>(at.step), static_cast<long long>(at.num_steps), at.loss,
                  at.tokens_per_second);
    context.Progress(
        static_cast<double>(at.step) / static_cast<double>(std::max<int64_t>(1, at.num_steps)),
        text);
    if (at.step % 100 == 0 || at.step == at.num_steps || at.skipped) context.Log(text);
  };
  return run;
}

Result<StageResult> TrainingRun::End(const TrainSummary& summary) {
  curves_->Flush();
  context_->Log("trained steps " + std::to_string(summary.first_step) + " to " +
                std::to_string(summary.last_step));
  if (summary.stopped) {
    return MakeError(ErrorCode::kCancelled, "stopped behind step " +
                                                std::to_string(summary.last_step) + " of " +
                                                std::to_string(summary.num_steps));
  }
  curves_.reset();
  if (!leads()) return StageResult();
  const std::string path = CurvesPath(*context_);
  StageResult result;
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Curve> curves, ReadCurves(path));
  for (const Curve& curve : curves) {
    if (curve.name != "eval/loss" || curve.points.size() < 2) continue;
    const double before = curve.points.front().value, after = curve.points.back().value;
    result.figures.push_back({"held_out_loss_before", before, {}, {}, ""});
    result.figures.push_back({"held_out_loss_drop", before - after, {}, {}, ""});
  }
  for (const auto& [name, value] : summary.evaluation)
    result.figures.push_back({"held_out_" + name, value, {}, {}, ""});
  result.figures.push_back({"loss", summary.loss, {}, {}, ""});
  result.figures.push_back({"steps", static_cast<double>(summary.last_step), {}, {}, ""});
  result.figures.push_back(
      {"skipped_steps", static_cast<double>(summary.skipped_steps), {}, {}, ""});
  if (summary.tokens > 0) {
    result.figures.push_back({"tokens_per_second", summary.tokens_per_second, {}, {}, "tokens/s"});
    if (summary.peak_share > 0)
      result.figures.push_back({"peak_share", summary.peak_share, {}, {}, ""});
    result.figures.push_back(
        {"peak_memory", static_cast<double>(summary.peak_memory_bytes) * 1e-9, {}, {}, "GB"});
  }
  SetDevice(context_->parameters(), result);
  std::error_code error;
  std::filesystem::rename(path, context_->Output("curves"), error);
  if (error) return MakeError(ErrorCode::kIo, path + ": " + error.message());
  return result;
}

}  // namespace hearth::forge
