#pragma once
// From a stage's keys to the training loop and back: options, curves, figures. Includes torch.

#include <memory>
#include <string>
#include <vector>

#include "training/data/dataset.h"
#include "training/data/packed_batches.h"
#include "training/recipe/stage.h"
#include "training/trainer/jsonl_sink.h"
#include "training/trainer/trainer.h"

namespace hearth::forge {

DatasetOptions DataOptionsOf(const StageContext& context);
PackingOptions PackingOptionsOf(const Parameters& parameters);

// A training stage's options for the loop, its curves in the scratch folder and its progress. The
// context must outlive it.
class TrainingRun {
 public:
  // Joins the stage's other processes where there are any: before anything is loaded, so that the
  // device is chosen.
  static Result<TrainingRun> Begin(const StageContext& context);

  TrainerOptions& options() { return options_; }
  // Whether this process writes what was made: alone, or the first of several.
  bool leads() const { return group_ == nullptr || group_->rank() == 0; }

  // Moves the curves to the outputs; figures of the run's speed and its held-out loss, before and
  // after where it was measured before; nothing in a process that does not lead. Errors: kCancelled
  // when the run was stopped.
  Result<StageResult> End(const TrainSummary& summary);

 private:
  explicit TrainingRun(const StageContext& context) : context_(&context) {}

  const StageContext* context_;
  TrainerOptions options_;
  std::unique_ptr<JsonlSink> curves_;
  std::unique_ptr<ProcessGroup> group_;
};

}  // namespace hearth::forge
