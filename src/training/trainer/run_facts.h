#pragma once
// A run's options checked, its length, and what of all that decides its result: the facts that a
// checkpoint keeps. Threads: plain functions.

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "training/data/batch.h"
#include "training/trainer/task.h"
#include "training/trainer/trainer.h"

namespace hearth::forge {

// Errors: kInvalidArgument naming the field and the value.
Status CheckTrainerOptions(const TrainerOptions& options, int world_size);

// At least 1.
int64_t NumSteps(const TrainerOptions& options, int64_t batches_per_epoch);

// Of options, task and data, for which the first and the last batch of an epoch stand. The run's
// length is not among them: it may be set anew. Errors: the source's.
Result<std::vector<std::pair<std::string, std::string>>> RunFacts(
    const TrainerOptions& options,
    const std::vector<std::pair<std::string, std::string>>& task_facts, BatchSource& train);

// The shortest text that reads back the same.
std::string FactNumber(double value);

uint64_t HashFacts(const std::vector<std::pair<std::string, std::string>>& facts);

// The batch's place, with its seed.
BatchContext ContextOf(uint64_t seed, int64_t step, int64_t index);

}  // namespace hearth::forge
