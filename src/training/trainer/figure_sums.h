#pragma once
// Figures of many batches as one small tensor of sums, so that they add up on the device and over
// processes without waiting. Threads: one at a time.

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "training/model/torch_compat.h"
#include "training/trainer/task.h"

namespace hearth::forge {

class FigureSums {
 public:
  // Loss, weight, then a sum and a weight for each further figure.
  static constexpr int64_t kSize = 2 + 2 * static_cast<int64_t>(kMostFigures);

  // sums [kSize] of a floating type on the figures' device += these. Errors: kInternal where the
  // figures' names are not those of the first call.
  Status Add(const StepFigures& figures, Tensor sums);
  // sums [kSize] on the host: "loss", then the further figures; one that nothing weighs is left
  // out.
  std::vector<std::pair<std::string, double>> Means(const double* sums) const;

 private:
  bool begun_ = false;
  std::vector<std::string> names_;
};

}  // namespace hearth::forge
