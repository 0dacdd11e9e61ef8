#pragma once
// CUDA graphs where this libtorch has any. Part of torch_compat.h. Threads: one at a time.

#include <functional>
#include <memory>

#include "training/model/torch_compat.h"

namespace hearth::forge {

// Work that is the same again and again, on the same tensors: recorded as a CUDA graph on its third
// run and replayed from then on, without a launch per kernel. `body` may not wait for the device
// nor read anything of the host that changes. On a CPU, or not `enabled`, it just runs.
class StepGraph {
 public:
  StepGraph(const at::Device& device, bool enabled);
  ~StepGraph();
  StepGraph(StepGraph&&) noexcept;
  StepGraph& operator=(StepGraph&&) noexcept;
  void Run(const std::function<void()>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;  // null: it just runs
};

}  // namespace hearth::forge
