#include "training/trainer/watchdog.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace hearth::forge {
namespace {

constexpr double kMemory = 0.98;  // of the average, per step: the last 50 count most

std::string Format(const char* pattern, double first, double second) {
  char text[160];
  std::snprintf(text, sizeof text, pattern, first, second);
  return text;
}

}  // namespace

Watchdog::Verdict Watchdog::Judge(double loss, double gradient_norm) {
  auto& [average, good, bad_in_a_row, bad] = state_;
  reason_.clear();
  if (!std::isfinite(loss) || !std::isfinite(gradient_norm)) {
    reason_ = Format("the loss is %g, the gradient's norm %g", loss, gradient_norm);
  } else if (options_.spike_factor > 0 && good >= static_cast<double>(options_.settle_steps) &&
             loss > options_.spike_factor * average) {
    reason_ = Format("the loss jumped to %g, lately it was %g", loss, average);
  }
  if (reason_.empty()) {
    // A plain mean at first.
    const double memory = std::min(kMemory, good / (good + 1));
    average = memory * average + (1 - memory) * loss;
    good += 1;
    bad_in_a_row = 0;
    return Verdict::kGood;
  }
  bad_in_a_row += 1;
  bad += 1;
  const bool enough =
      options_.patience > 0 && bad_in_a_row >= static_cast<double>(options_.patience);
  return enough ? Verdict::kStop : Verdict::kSkip;
}

}  // namespace hearth::forge
