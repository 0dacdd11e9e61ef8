#pragma once
// The learning rate by step: up in a line, then down along half a cosine, or flat with a fall at
// the end (warmup-stable-decay, arXiv:2404.06395). No torch. Threads: plain data.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth::forge {

enum class ScheduleKind {
  kConstant,
  kCosine,
  kWsd,  // flat until the last `decay_share`, then down in a line
};

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kCosine;
  double learning_rate = 2e-4;  // the highest
  double final_share = 0.1;     // of the highest, in the last step
  int64_t warmup_steps = 0;     // the rate rises through these; 0: `warmup_share` says
  double warmup_share = 0.03;   // of all steps
  double decay_share = 0.2;     // of all steps, for kWsd
};

// "constant", "cosine", "wsd". Errors: kInvalidArgument naming the word.
Result<ScheduleKind> ParseSchedule(std::string_view name);
std::string_view ScheduleName(ScheduleKind kind);

// Errors: kInvalidArgument naming the field and the value.
Status CheckSchedule(const ScheduleOptions& options);

// Of step 1 to `num_steps`; beyond, the last step's.
double LearningRateAt(const ScheduleOptions& options, int64_t step, int64_t num_steps);

}  // namespace hearth::forge
