#pragma once
// Where figures of a run go: files for TensorBoard, JSON lines, a progress bar. Threads: one at a
// time.

#include <cstdint>
#include <string_view>

namespace hearth::forge {

class MetricsSink {
 public:
  virtual ~MetricsSink() = default;
  // Names are paths: "train/loss", "eval/loss", "train/tokens_per_second". Steps count optimiser
  // steps from 1 and never go back, except that a resumed run begins again behind its checkpoint.
  virtual void AddScalar(std::string_view name, int64_t step, double value) = 0;
  // Everything added is in its file; called at checkpoints and at the end.
  virtual void Flush() = 0;
};

}  // namespace hearth::forge
