#include "training/trainer/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <optional>

#include "base/check.h"
#include "training/trainer/batch_reader.h"
#include "training/trainer/checkpoint.h"
#include "training/trainer/figure_sums.h"
#include "training/trainer/flops.h"
#include "training/trainer/optimizer.h"
#include "training/trainer/run_facts.h"
#include "training/trainer/signals.h"

namespace hearth::forge {
namespace {

using Clock = std::chrono::steady_clock;
using Means = std::vector<std::pair<std::string, double>>;

constexpr size_t kSummaryLosses = 20;
// What the extras of the gradients hold behind the figures' sums.
constexpr int64_t kStopPlace = FigureSums::kSize;
constexpr int64_t kTokensPlace = kStopPlace + 1;
constexpr int64_t kTeraFlopsPlace = kStopPlace + 2;
static_assert(kTeraFlopsPlace < FlatAdamW::kExtras);
// Tells the seeds of held-out batches from those of training.
constexpr uint64_t kEvaluationSeed = 0x6576616c;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// For the time of a run; others in the program get back what they had.
class DeterministicScope {
 public:
  explicit DeterministicScope(bool wanted) : before_(DeterministicAlgorithms()), wanted_(wanted) {
    if (wanted_) UseDeterministicAlgorithms(true);
  }
  ~DeterministicScope() {
    if (wanted_) UseDeterministicAlgorithms(before_);
  }
  DeterministicScope(const DeterministicScope&) = delete;
  DeterministicScope& operator=(const DeterministicScope&) = delete;

 private:
  bool before_, wanted_;
};

// A step's figures, on the host.
struct StepResult {
  Means means;
  double loss = 0, weight = 0, gradient_norm = 0, tokens = 0, flops = 0, learning_rate = 0;
  bool skipped = false;
};

class Run {
 public:
  Run(TrainingTask& task, BatchSource& train, BatchSource* held_out, const TrainerOptions& options)
      : task_(task),
        train_(train),
        held_out_(held_out),
        options_(options),
        rank_(options.group != nullptr ? options.group->rank() : 0),
        world_size_(options.group != nullptr ? options.group->world_size() : 1),
        watchdog_(options.watchdog) {}

  Status Prepare();
  Status ToTheEnd();
  TrainSummary summary();

 private:
  bool first() const { return rank_ == 0; }
  bool alone() const { return world_size_ == 1; }
  int64_t batches_here() const { return options_.batches_per_step / world_size_; }
  int64_t IndexOf(int64_t step, int64_t batch_here) const {
    return (step - 1) * options_.batches_per_step + rank_ + batch_here * world_size_;
  }
  bool StopWanted() const {
    return (options_.handle_signals && StopSignals::Requested()) ||
           (options_.should_stop && options_.should_stop());
  }
  Status Sum(Tensor tensor) {
    return options_.group != nullptr ? options_.group->Sum(std::move(tensor)) : Status();
  }

  Status ShareBeginning(const Status& loaded);
  Result<std::vector<Batch>> NextBatches(BatchReader& reader, int64_t step);
  // The step's gradients and figures, summed over all; nothing where it was given up half-way.
  Result<std::optional<StepResult>> Gradients(std::vector<Batch> batches, int64_t step);
  Status Update(StepResult& result, int64_t step);
  Status AfterStep(int64_t step);
  Status Evaluate();
  Status Checkpoint();
  void Report(const StepResult& result, double seconds);
  void Add(const std::string& name, double value) {
    if (!first()) return;
    for (MetricsSink* sink : options_.sinks) sink->AddScalar(name, state_.step, value);
  }
  void FlushSinks() {
    for (MetricsSink* sink : options_.sinks) sink->Flush();
  }

  TrainingTask& task_;
  BatchSource& train_;
  BatchSource* held_out_;
  const TrainerOptions& options_;
  int rank_, world_size_;
  Watchdog watchdog_;

  std::optional<FlatAdamW> optimizer_;
  std::vector<std::pair<std::string, std::string>> facts_;
  TrainState state_;
  int64_t num_steps_ = 0, first_step_ = 1, saved_step_ = 0, evaluated_step_ = -1;
  bool stop_ = false;
  FigureSums figures_;
  double peak_flops_ = 0;  // of all devices together; 0: not known
  Clock::time_point began_ = Clock::now();
  double training_seconds_ = 0, tokens_ = 0, flops_ = 0;
  // Since the last figures went to the sinks.
  double logged_seconds_ = 0, logged_tokens_ = 0, logged_flops_ = 0, logged_loss_ = 0,
         logged_weight_ = 0;
  std::deque<double> losses_;
  Means evaluation_;
};

Status Run::Prepare() {
  HEARTH_RETURN_IF_ERROR(CheckTrainerOptions(options_, world_size_));
  if (held_out_ == &train_)
    return MakeError(ErrorCode::kInvalidArgument, "trainer: the held-out data is the training's");
  num_steps_ = NumSteps(options_, train_.batches_per_epoch());
  OptimizerOptions optimizer{
      options_.beta1, options_.beta2, options_.eps, options_.weight_decay,
      [this](const std::string& name) { return task_.LearningRateScale(name); }};
  HEARTH_ASSIGN_OR_RETURN(optimizer_, FlatAdamW::Make(task_.Parameters(), optimizer));
  HEARTH_ASSIGN_OR_RETURN(facts_, RunFacts(options_, task_.Facts(), train_));
  facts_.emplace_back("type", optimizer_->dtype() == at::kFloat ? "f32" : "bf16");
  peak_flops_ = options_.peak_flops > 0 ? options_.peak_flops
                                        : PeakFlops(DeviceName(optimizer_->device()),
                                                    optimizer_->dtype() == at::kBFloat16);
  peak_flops_ *= world_size_;
  Status loaded;
  if (first() && options_.resume && !options_.checkpoint_folder.empty()) {
    if (const auto newest = NewestCheckpoint(options_.checkpoint_folder)) {
      auto state = LoadCheckpoint(*newest, facts_, *optimizer_);
      if (state) {
        state_ = *state;
      } else {
        loaded = tl::unexpected(state.error());
      }
    }
  }
  HEARTH_RETURN_IF_ERROR(ShareBeginning(loaded));
  watchdog_.set_state(state_.watchdog);
  saved_step_ = state_.step;
  first_step_ = state_.step + 1;
  return {};
}

// Everybody begins where process 0 does, with its weights.
Status Run::ShareBeginning(const Status& loaded) {
  if (options_.group == nullptr) return loaded;
  std::vector<double> numbers = {
      loaded ? 1.0 : 0.0, static_cast<double>(state_.step), static_cast<double>(state_.updates),
      static_cast<double>(state_.best_step), state_.best_held_out_loss.value_or(NAN)};
  numbers.insert(numbers.end(), state_.watchdog.begin(), state_.watchdog.end());
  Tensor shared = at::tensor(numbers, at::kDouble).to(optimizer_->device());
  // Exact in 53 bits.
  Tensor hash =
      at::tensor({static_cast<double>(HashFacts(facts_) >> 11)}, at::kDouble).to(shared.device());
  const Tensor own_hash = hash.clone();
  HEARTH_RETURN_IF_ERROR(options_.group->Broadcast(shared));
  HEARTH_RETURN_IF_ERROR(options_.group->Broadcast(hash));
  if (!loaded) return loaded;
  const Tensor host = shared.to(at::kCPU);
  const double* values = host.data_ptr<double>();
  if (values[0] == 0)
    return MakeError(ErrorCode::kUnavailable, "process 0 could not resume: see its error");
  if (!hash.equal(own_hash)) {
    return MakeError(
        ErrorCode::kInvalidArgument,
        "process " + std::to_string(rank_) + " has other options, data or model than process 0");
  }
  state_.step = static_cast<int64_t>(values[1]);
  state_.updates = static_cast<int64_t>(values[2]);
  state_.best_step = static_cast<int64_t>(values[3]);
  state_.best_held_out_loss =
      std::isnan(values[4]) ? std::nullopt : std::optional<double>(values[4]);
  std::copy_n(values + 5, state_.watchdog.size(), state_.watchdog.begin());
  for (const Tensor& buffer :
       {optimizer_->master(), optimizer_->moment1(), optimizer_->moment2()}) {
    HEARTH_RETURN_IF_ERROR(options_.group->Broadcast(buffer));
  }
  optimizer_->WriteParameters();
  return {};
}

Result<std::vector<Batch>> Run::NextBatches(BatchReader& reader, int64_t step) {
  std::vector<Batch> batches;
  std::vector<BatchContext> contexts;
  for (int64_t i = 0; i < batches_here(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(Batch batch, reader.Next());
    batches.push_back(std::move(batch));
    contexts.push_back(ContextOf(options_.seed, step, IndexOf(step, i)));
  }
  HEARTH_RETURN_IF_ERROR(task_.PrepareBatches(batches, contexts));
  return batches;
}

Result<std::optional<StepResult>> Run::Gradients(std::vector<Batch> batches, int64_t step) {
  optimizer_->ZeroGradients();
  const Tensor sums = optimizer_->extras().narrow(0, 0, FigureSums::kSize);
  double tokens = 0, flops = 0;
  for (size_t i = 0; i < batches.size(); ++i) {
    stop_ = stop_ || StopWanted();
    // Others count on our part of the step.
    if (stop_ && alone()) return std::optional<StepResult>();
    const BatchContext context =
        ContextOf(options_.seed, step, IndexOf(step, static_cast<int64_t>(i)));
    HEARTH_ASSIGN_OR_RETURN(const StepFigures figures, task_.RunBatch(batches[i], context));
    optimizer_->GatherGradients();
    HEARTH_RETURN_IF_ERROR(figures_.Add(figures, sums));
    tokens += static_cast<double>(batches[i].num_tokens());
    flops += task_.Flops(batches[i]);
  }
  const std::vector<float> own = {stop_ ? 1.0f : 0.0f, static_cast<float>(tokens),
                                  static_cast<float>(flops * 1e-12)};
  optimizer_->extras().narrow(0, kStopPlace, 3).copy_(at::tensor(own, at::kFloat));
  HEARTH_RETURN_IF_ERROR(Sum(optimizer_->gradients_and_extras()));
  // The step's one wait for the device.
  const Tensor host = at::cat({optimizer_->extras(), optimizer_->GradientNorm().reshape({1})})
                          .to(at::kCPU)
                          .to(at::kDouble);
  const double* values = host.data_ptr<double>();
  StepResult result;
  result.means = figures_.Means(values);
  result.weight = values[1];
  result.loss = result.weight > 0 ? values[0] / result.weight : 0;
  result.gradient_norm = result.weight > 0 ? values[FlatAdamW::kExtras] / result.weight : 0;
  stop_ = stop_ || values[kStopPlace] > 0;
  result.tokens = values[kTokensPlace];
  result.flops = values[kTeraFlopsPlace] * 1e12;
  return std::optional<StepResult>(std::move(result));
}

Status Run::Update(StepResult& result, int64_t step) {
  result.learning_rate = LearningRateAt(options_.schedule, step, num_steps_);
  const auto verdict = watchdog_.Judge(result.loss, result.gradient_norm);
  if (verdict == Watchdog::Verdict::kStop) {
    return MakeError(ErrorCode::kInternal, "step " + std::to_string(step) + ": " +
                                               watchdog_.reason() + "; it is the last of " +
                                               std::to_string(options_.watchdog.patience) +
                                               " bad steps in a row, so the run ends");
  }
  result.skipped = verdict == Watchdog::Verdict::kSkip;
  // A step whose batches have nothing to learn changes nothing either.
  if (result.skipped || result.weight == 0) return {};
  double scale = 1 / result.weight;
  if (options_.max_gradient_norm > 0)
    scale *= std::min(1.0, options_.max_gradient_norm / (result.gradient_norm + 1e-6));
  optimizer_->Step(result.learning_rate, scale, ++state_.updates);
  return {};
}

void Run::Report(const StepResult& result, double seconds) {
  training_seconds_ += seconds;
  tokens_ += result.tokens;
  flops_ += result.flops;
  logged_seconds_ += seconds;
  logged_tokens_ += result.tokens;
  logged_flops_ += result.flops;
  if (!result.skipped) {
    logged_loss_ += result.loss * result.weight;
    logged_weight_ += result.weight;
    losses_.push_back(result.loss);
    if (losses_.size() > kSummaryLosses) losses_.pop_front();
  }
  const auto share = [this](double flops, double time) {
    return peak_flops_ > 0 && time > 0 ? flops / (time * peak_flops_) : 0;
  };
  if (first() && options_.on_progress) {
    TrainProgress progress;
    progress.step = state_.step;
    progress.num_steps = num_steps_;
    progress.loss = result.loss;
    progress.learning_rate = result.learning_rate;
    progress.gradient_norm = result.gradient_norm;
    progress.tokens_per_second = result.tokens / seconds;
    progress.peak_share = share(result.flops, seconds);
    progress.seconds_left = training_seconds_ / static_cast<double>(state_.step - first_step_ + 1) *
                            static_cast<double>(num_steps_ - state_.step);
    progress.skipped = result.skipped;
    options_.on_progress(progress);
  }
  const int64_t every = std::max<int64_t>(options_.log_every, 1);
  if (state_.step % every != 0 && state_.step != num_steps_ && !result.skipped) return;
  if (logged_weight_ > 0) Add("train/loss", logged_loss_ / logged_weight_);
  for (const auto& [name, mean] : result.means) {
    if (name != "loss") Add("train/" + name, mean);
  }
  Add("train/learning_rate", result.learning_rate);
  Add("train/gradient_norm", result.gradient_norm);
  Add("train/tokens_per_second", logged_tokens_ / logged_seconds_);
  if (const double reached = share(logged_flops_, logged_seconds_); reached > 0)
    Add("train/peak_share", reached);
  if (const int64_t bytes = PeakMemoryBytes(optimizer_->device()); bytes > 0)
    Add("train/memory_gib", static_cast<double>(bytes) / static_cast<double>(1 << 30));
  if (result.skipped) Add("train/skipped_loss", result.loss);
  if (watchdog_.skipped() > 0) Add("train/skipped", static_cast<double>(watchdog_.skipped()));
  logged_seconds_ = logged_tokens_ = logged_flops_ = logged_loss_ = logged_weight_ = 0;
}

Status Run::Evaluate() {
  if (held_out_ == nullptr || evaluated_step_ == state_.step) return {};
  int64_t count = held_out_->batches_per_epoch();
  if (options_.evaluate_batches > 0) count = std::min(count, options_.evaluate_batches);
  FigureSums figures;
  const Tensor sums = at::zeros(
      {FigureSums::kSize}, at::TensorOptions().device(optimizer_->device()).dtype(at::kDouble));
  for (int64_t index = rank_; index < count; index += world_size_) {
    HEARTH_ASSIGN_OR_RETURN(const Batch batch, held_out_->At(index));
    // The same each time, so that evaluations compare.
    const BatchContext context = ContextOf(options_.seed ^ kEvaluationSeed, 0, index);
    HEARTH_ASSIGN_OR_RETURN(const StepFigures step, task_.EvaluateBatch(batch, context));
    HEARTH_RETURN_IF_ERROR(figures.Add(step, sums));
  }
  HEARTH_RETURN_IF_ERROR(Sum(sums));
  const Tensor host = sums.to(at::kCPU);
  const double* values = host.data_ptr<double>();
  evaluated_step_ = state_.step;
  // Processes without a batch of their own know no names; the loss they know.
  evaluation_ = figures.Means(values);
  if (values[1] > 0) {
    const double loss = values[0] / values[1];
    if (loss < state_.best_held_out_loss.value_or(std::numeric_limits<double>::infinity())) {
      state_.best_held_out_loss = loss;
      state_.best_step = state_.step;
    }
  }
  for (const auto& [name, mean] : evaluation_) Add("eval/" + name, mean);
  return {};
}

Status Run::Checkpoint() {
  if (options_.checkpoint_folder.empty() || saved_step_ == state_.step) return {};
  saved_step_ = state_.step;
  if (!first()) return {};
  FlushSinks();
  state_.watchdog = watchdog_.state();
  return SaveCheckpoint(options_.checkpoint_folder, state_, facts_, *optimizer_,
                        options_.keep_checkpoints);
}

Status Run::AfterStep(int64_t step) {
  const auto due = [step](int64_t every) { return every > 0 && step % every == 0; };
  const bool last = step == num_steps_;
  if (due(options_.evaluate_every) && !last) HEARTH_RETURN_IF_ERROR(Evaluate());
  if (options_.hook && due(options_.hook_every) && !last)
    HEARTH_RETURN_IF_ERROR(options_.hook(step));
  if (due(options_.checkpoint_every) && !last) HEARTH_RETURN_IF_ERROR(Checkpoint());
  return {};
}

Status Run::ToTheEnd() {
  if (options_.evaluate_first && state_.step == 0) HEARTH_RETURN_IF_ERROR(Evaluate());
  {
    BatchReader reader(
        train_,
        [this](int64_t k) -> std::optional<int64_t> {
          const int64_t step = first_step_ + k / batches_here();
          if (step > num_steps_) return std::nullopt;
          return IndexOf(step, k % batches_here());
        },
        static_cast<size_t>(std::max<int64_t>(4, 2 * batches_here())));
    auto step_began = Clock::now();
    for (int64_t step = first_step_; step <= num_steps_ && !stop_; ++step) {
      HEARTH_ASSIGN_OR_RETURN(std::vector<Batch> batches, NextBatches(reader, step));
      HEARTH_ASSIGN_OR_RETURN(auto result, Gradients(std::move(batches), step));
      if (!result) break;
      HEARTH_RETURN_IF_ERROR(Update(*result, step));
      state_.step = step;
      const auto now = Clock::now();
      Report(*result, Seconds(now - step_began));
      HEARTH_RETURN_IF_ERROR(AfterStep(step));
      step_began = Clock::now();
    }
  }
  if (state_.step >= num_steps_) {
    stop_ = false;
    HEARTH_RETURN_IF_ERROR(Evaluate());
    if (options_.hook && first_step_ <= num_steps_)
      HEARTH_RETURN_IF_ERROR(options_.hook(num_steps_));
  }
  HEARTH_RETURN_IF_ERROR(Checkpoint());
  FlushSinks();
  Synchronize(optimizer_->device());
  // Process 0 hosts the store that the others still look at.
  return options_.group != nullptr ? options_.group->Barrier() : Status();
}

TrainSummary Run::summary() {
  TrainSummary summary;
  summary.first_step = first_step_;
  summary.last_step = state_.step;
  summary.num_steps = num_steps_;
  summary.stopped = stop_;
  for (const double loss : losses_) summary.loss += loss / static_cast<double>(losses_.size());
  summary.evaluation = evaluation_;
  summary.best_held_out_loss = state_.best_held_out_loss.value_or(0);
  summary.best_step = state_.best_step;
  summary.skipped_steps = watchdog_.skipped();
  summary.tokens = static_cast<int64_t>(tokens_);
  summary.seconds = Seconds(Clock::now() - began_);
  if (training_seconds_ > 0) {
    summary.tokens_per_second = tokens_ / training_seconds_;
    if (peak_flops_ > 0) summary.peak_share = flops_ / (training_seconds_ * peak_flops_);
  }
  summary.peak_memory_bytes = PeakMemoryBytes(optimizer_->device());
  return summary;
}

}  // namespace

Result<TrainSummary> Train(TrainingTask& task, BatchSource& train, BatchSource* held_out,
                           const TrainerOptions& options) {
  std::optional<StopSignals> signals;
  if (options.handle_signals) signals.emplace();
  const DeterministicScope deterministic(options.deterministic);
  Run run(task, train, held_out, options);
  const Status status = CatchTorch("trainer", [&]() -> Status {
    HEARTH_RETURN_IF_ERROR(run.Prepare());
    return run.ToTheEnd();
  });
  HEARTH_RETURN_IF_ERROR(status);
  return run.summary();
}

}  // namespace hearth::forge
