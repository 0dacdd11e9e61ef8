// StepGraph: CUDA graphs where there are any.

#include "training/model/torch_compat_graph.h"

#if !defined(HEARTH_TORCH_CUDA)
#if HEARTH_TORCH_2 && __has_include(<cuda_runtime_api.h>)
#define HEARTH_TORCH_CUDA 1
#else
#define HEARTH_TORCH_CUDA 0
#endif
#endif

#if HEARTH_TORCH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace hearth::forge {

struct StepGraph::State {
#if HEARTH_TORCH_CUDA
  explicit State(const at::Device& device)
      : stream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())) {}
  at::cuda::CUDAGraph graph;
  c10::cuda::CUDAStream stream;
  int runs = 0;
  bool captured = false;
#endif
};

StepGraph::StepGraph([[maybe_unused]] const at::Device& device, [[maybe_unused]] bool enabled) {
#if HEARTH_TORCH_CUDA
  if (enabled && device.is_cuda()) state_ = std::make_unique<State>(device);
#endif
}
StepGraph::~StepGraph() = default;
StepGraph::StepGraph(StepGraph&&) noexcept = default;
StepGraph& StepGraph::operator=(StepGraph&&) noexcept = default;

void StepGraph::Run(const std::function<void()>& body) {
#if HEARTH_TORCH_CUDA
  if (state_ != nullptr) {
    if (!state_->captured) {
      // Recording needs a stream of its own. The runs before make what libraries keep (handles,
      // workspaces, compiled kernels) in that stream.
      c10::cuda::device_synchronize();
      {
        const c10::cuda::CUDAStreamGuard guard(state_->stream);
        if (state_->runs++ < 2) {
          body();
        } else {
          state_->graph.capture_begin();
          body();
          state_->graph.capture_end();
          state_->captured = true;
        }
      }
      c10::cuda::device_synchronize();
      if (!state_->captured) return;
    }
    state_->graph.replay();
    return;
  }
#endif
  body();
}

}  // namespace hearth::forge
