#pragma once
// The seam between the training loop and what is trained: full weights, an adapter, a draft head,
// with or without a teacher. The loop (trainer.h) owns the optimiser, the schedule, checkpoints and
// processes; a task owns a model, turns batches into gradients, and knows nothing of the rest.
//
// Torch's exceptions may leave a task's functions; the loop catches them and names the step.
// Threads: one at a time, always the loop's.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "training/data/batch.h"
#include "training/model/decoder.h"
#include "training/model/torch_compat.h"

namespace hearth::forge {

// Where a batch stands in a run. The same for every number of processes that share its batches.
struct BatchContext {
  int64_t step = 1;   // optimiser steps count from 1
  int64_t index = 0;  // of the batch among all of the run
  // A hash of the run's seed, the step and the index: for dropout and sampling (SeedGenerator right
  // before each use). Nothing else may be random, so that a resumed run does what it would have
  // done.
  uint64_t seed = 0;
};

// A figure for reports as a quotient, so that it averages over batches and processes by adding.
struct Figure {
  std::string name;  // "accuracy", "kl": logged as train/NAME and eval/NAME
  Tensor sum;        // scalar on the task's device, without gradient
  Tensor weight;     // what to divide by; undefined: StepFigures::weight
};

// Of one batch. Tensors stay on the device: nothing waits for it before the step's end. All batches
// of a run's training have the same figures in the same order (at most kMostFigures), with a sum of
// 0 where there is nothing to say; so have all of its evaluation, which may be other ones.
struct StepFigures {
  Tensor loss;    // scalar: sum of weight * loss
  Tensor weight;  // scalar: sum of the weights
  std::vector<Figure> more;
};
inline constexpr size_t kMostFigures = 24;

class TrainingTask {
 public:
  virtual ~TrainingTask() = default;

  // What is trained: leaves that ask for gradients, in an order that is always the same, all of
  // one type (FP32 or BF16) on one device. Not views: the loop moves their storage into one flat
  // buffer before the first step (set_data), so whatever caches addresses or views of them
  // (captured graphs, transposed copies) is made afterwards, and again each step if it copies.
  virtual std::vector<NamedTensor> Parameters() = 0;
  // Of the learning rate, by parameter (LoRA+'s larger one for B, a new head on an old model).
  virtual double LearningRateScale(const std::string& /*name*/) const { return 1; }

  // Before the gradients of a step: may replace batches by what the student writes now (on-policy
  // distillation). All of this process's batches of the step at once, so that generation runs as
  // one large batch. Must be a function of the batches, the contexts and the weights alone.
  virtual Status PrepareBatches(std::vector<Batch>& /*batches*/,
                                const std::vector<BatchContext>& /*contexts*/) {
    return {};
  }
  // Forward and backward: adds the gradients of sum(weight * loss), NOT divided by anything, to the
  // parameters' grad(). The loop takes them out and divides by the weights of the whole step, over
  // all its batches and processes. A batch whose weights are all 0 is legal.
  virtual Result<StepFigures> RunBatch(const Batch& batch, const BatchContext& context) = 0;
  // Figures without gradients or dropout, of a held-out batch; `context.index` is the batch's place
  // among those.
  virtual Result<StepFigures> EvaluateBatch(const Batch& batch, const BatchContext& context) = 0;

  // Writes the artifact (weights, adapter, head) into a folder that exists.
  virtual Status Save(const std::string& folder) = 0;

  // Floating-point operations that RunBatch needs at least (a multiply-add is two): forward and
  // backward, without recomputation. Tells the share of the GPU's peak. 0: not known.
  virtual double Flops(const Batch& /*batch*/) const { return 0; }

  // What else decides the result: rank, alpha, temperature, the base's hash. A run resumes only
  // where all are as they were; the error names the one that differs.
  virtual std::vector<std::pair<std::string, std::string>> Facts() const { return {}; }
};

}  // namespace hearth::forge
