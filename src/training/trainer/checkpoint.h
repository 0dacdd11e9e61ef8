#pragma once
// A run's state in a folder, whole or not there at all: what a run killed at any moment goes on
// from. There is no state of random generators, since randomness is a function of seed and step.
//
// CHECKPOINTS/step-00000120/
//   state.json                               step, facts, layout of the buffers, their hashes
//   master.f32  moment1.f32  moment2.f32     the optimiser's flat buffers, little-endian FP32
// It is written under another name, flushed to the disk, then renamed.
// Threads: one at a time; one process writes.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "training/trainer/optimizer.h"
#include "training/trainer/watchdog.h"

namespace hearth::forge {

// What decides a run's result, by name.
using Facts = std::vector<std::pair<std::string, std::string>>;

struct TrainState {
  int64_t step = 0;     // done
  int64_t updates = 0;  // of the weights; fewer, if the watchdog skipped some
  Watchdog::State watchdog = {};
  std::optional<double> best_held_out_loss;
  int64_t best_step = 0;
};

// Then removes all but the newest `keep` (at least 1) and what unfinished ones left. Errors:
// kResourceExhausted when the disk is full, kPermission, kIo.
Status SaveCheckpoint(const std::string& checkpoints, const TrainState& state, const Facts& facts,
                      const FlatAdamW& optimizer, int keep);

// The folder of the newest one; nothing where there is none.
std::optional<std::string> NewestCheckpoint(const std::string& checkpoints);

// Fills the optimiser's buffers and writes the parameters. Errors: kInvalidArgument naming the fact
// or the parameter that differs, with both values (the optimiser is untouched then); kCorrupt for
// files that are not what state.json says; kNotFound, kIo.
Result<TrainState> LoadCheckpoint(const std::string& checkpoint, const Facts& facts,
                                  FlatAdamW& optimizer);

// Empty, or the first that differs: "learning_rate was 0.1, now 0.2".
std::string DifferenceOf(const Facts& then, const Facts& now);

}  // namespace hearth::forge
