#include "training/trainer/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

namespace hearth::forge {
namespace {

constexpr std::array<std::pair<std::string_view, ScheduleKind>, 3> kNames = {{
    {"constant", ScheduleKind::kConstant},
    {"cosine", ScheduleKind::kCosine},
    {"wsd", ScheduleKind::kWsd},
}};

Status CheckShare(const char* name, double value) {
  if (value >= 0 && value <= 1) return {};
  return MakeError(ErrorCode::kInvalidArgument, std::string("schedule: ") + name + " is " +
                                                    std::to_string(value) + ", not 0 to 1");
}

int64_t StepsOf(double share, int64_t num_steps) {
  return std::llround(share * static_cast<double>(num_steps));
}

}  // namespace

Result<ScheduleKind> ParseSchedule(std::string_view name) {
  for (const auto& [known, kind] : kNames) {
    if (name == known) return kind;
  }
  return MakeError(ErrorCode::kInvalidArgument,
                   "schedule '" + std::string(name) + "': expected constant, cosine or wsd");
}

std::string_view ScheduleName(ScheduleKind kind) {
  for (const auto& [name, known] : kNames) {
    if (kind == known) return name;
  }
  return "";
}

Status CheckSchedule(const ScheduleOptions& options) {
  if (!(options.learning_rate >= 0) || std::isinf(options.learning_rate)) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "schedule: learning_rate is " + std::to_string(options.learning_rate));
  }
  if (options.warmup_steps < 0) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "schedule: warmup_steps is " + std::to_string(options.warmup_steps));
  }
  HEARTH_RETURN_IF_ERROR(CheckShare("final_share", options.final_share));
  HEARTH_RETURN_IF_ERROR(CheckShare("warmup_share", options.warmup_share));
  return CheckShare("decay_share", options.decay_share);
}

double LearningRateAt(const ScheduleOptions& options, int64_t step, int64_t num_steps) {
  step = std::clamp<int64_t>(step, 1, std::max<int64_t>(num_steps, 1));
  const double high = options.learning_rate;
  const double low = high * options.final_share;
  const int64_t warmup =
      std::min(num_steps, options.warmup_steps > 0 ? options.warmup_steps
                                                   : StepsOf(options.warmup_share, num_steps));
  if (step <= warmup) return high * static_cast<double>(step) / static_cast<double>(warmup);
  switch (options.kind) {
    case ScheduleKind::kConstant: return high;
    case ScheduleKind::kCosine: {
      const double way =
          static_cast<double>(step - warmup) / static_cast<double>(num_steps - warmup);
      return low + (high - low) * 0.5 * (1 + std::cos(std::numbers::pi * way));
    }
    case ScheduleKind::kWsd: {
      const int64_t fall =
          std::min(num_steps - warmup, StepsOf(options.decay_share, num_steps));
      if (step <= num_steps - fall) return high;
      const double way = static_cast<double>(step - (num_steps - fall)) / static_cast<double>(fall);
      return high + (low - high) * way;
    }
  }
  return high;
}

}  // namespace hearth::forge
