#pragma once
// The training loop: batches to gradients by a task, gradients summed over a step's batches and
// processes, AdamW on FP32 masters, evaluation, figures, checkpoints.
//
// A step's gradient is that of sum(weight * loss) / sum(weight) over all its batches, whatever the
// number of processes among which they are divided: batch b of step s is number
// (s - 1) * batches_per_step + b of the source, and process r of n runs those with b % n == r.
//
// Resuming is exact: weights after kill and resume have the bits of an uninterrupted run, on the
// CPU always and on a GPU with `deterministic`. What decides the result (options, facts of the
// task, data) is kept in the checkpoint and must be as it was.
// Threads: Train uses the calling thread and one that reads ahead.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "training/data/batch.h"
#include "training/trainer/metrics_sink.h"
#include "training/trainer/process_group.h"
#include "training/trainer/schedule.h"
#include "training/trainer/task.h"
#include "training/trainer/watchdog.h"

namespace hearth::forge {

struct TrainProgress {
  int64_t step = 0, num_steps = 0;
  double loss = 0;  // of this step
  double learning_rate = 0, gradient_norm = 0;
  double tokens_per_second = 0;  // all processes'
  double peak_share = 0;         // of the devices' peak; 0: not known
  double seconds_left = 0;
  bool skipped = false;  // by the watchdog
};

struct TrainerOptions {
  // Length: max_steps where it is not 0, else epochs.
  int64_t max_steps = 0;
  double epochs = 1;
  int64_t batches_per_step = 1;  // over all processes; a multiple of their number
  uint64_t seed = 0;

  ScheduleOptions schedule;
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.01;    // of matrices; vectors have none
  double max_gradient_norm = 1;  // 0: not clipped
  WatchdogOptions watchdog;

  // Evaluation on held-out batches, also at the end; 0: only there.
  int64_t evaluate_every = 0;
  int64_t evaluate_batches = 0;  // the first so many; 0: all of an epoch
  bool evaluate_first = false;   // before the first step

  // Checkpoints lie here, one folder each; empty: none, nor any resuming.
  std::string checkpoint_folder;
  int64_t checkpoint_every = 0;  // 0: only when stopped and at the end
  int keep_checkpoints = 2;      // the newest so many
  bool resume = true;            // from the newest checkpoint where there is one
  // What else must be as it was when a run resumes, by name: hashes of data, the recipe's.
  std::vector<std::pair<std::string, std::string>> facts;

  // SIGINT and SIGTERM end the run with a checkpoint (a second one ends the program at once).
  bool handle_signals = true;
  std::function<bool()> should_stop;  // asked before every batch; for callers with other reasons

  bool deterministic = false;  // bit-equal on GPUs, at some cost; best set before any work there
  double peak_flops = 0;       // per second of one device; 0: by the device's name, see flops.h

  ProcessGroup* group = nullptr;                          // alone without
  std::vector<MetricsSink*> sinks;                        // of process 0
  int64_t log_every = 1;                                  // steps between figures in the sinks
  std::function<void(const TrainProgress&)> on_progress;  // process 0, each step
  // Called every so many steps and at the end, on every process, with the weights of that step.
  // For samples and evaluations of the caller's own; its figures go into the sinks by itself.
  int64_t hook_every = 0;
  std::function<Status(int64_t step)> hook;
};

struct TrainSummary {
  int64_t first_step = 1;  // of this call: behind the checkpoint where it resumed
  int64_t last_step = 0;   // done
  int64_t num_steps = 0;
  bool stopped = false;  // by a signal or should_stop; a checkpoint (if any folder) holds the state
  double loss = 0;       // mean over the last steps (at most 20)
  // The last evaluation's, by name ("loss", and the task's more figures); empty without.
  std::vector<std::pair<std::string, double>> evaluation;
  double best_held_out_loss = 0;
  int64_t best_step = 0;
  int64_t skipped_steps = 0;
  int64_t tokens = 0;            // of this call, all processes'
  double seconds = 0;            // of this call, evaluation and checkpoints included
  double tokens_per_second = 0;  // while training
  double peak_share = 0;
  int64_t peak_memory_bytes = 0;
};

// Runs to the end or until stopped. `held_out` may be nullptr. The task's parameters then hold the
// result, on every process; Save is the caller's to call (on process 0). Sources are whole ones,
// not shards; a source may be asked from the reading thread.
// Errors: kInvalidArgument for options that make no sense and for a resume with other facts, naming
// what differs; kInternal when torch fails or the watchdog gives up; those of the source and the
// checkpoint's files.
Result<TrainSummary> Train(TrainingTask& task, BatchSource& train, BatchSource* held_out,
                           const TrainerOptions& options);

}  // namespace hearth::forge
