#pragma once
// Several processes that train one model: each has all weights, takes its share of a step's
// batches, and the gradients are summed. Gloo between CPUs, NCCL between GPUs.
//
// Who is who comes from the environment, as torchrun sets it (torchrun --no-python hearth-forge
// ...) and launcher.h too: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT; with
// TORCHELASTIC_USE_AGENT_STORE=True the agent hosts the store, else rank 0 does.
// Threads: one at a time. Every process makes the same calls in the same order.

#include <memory>
#include <string>

#include "base/result.h"
#include "training/model/torch_compat.h"

namespace hearth::forge {

struct ProcessEnvironment {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;  // among this machine's: the GPU's number
  std::string master_address = "127.0.0.1";
  int master_port = 0;
  bool agent_hosts_store = false;
};

// One process alone where WORLD_SIZE is absent or 1. Errors: kInvalidArgument naming the variable
// that is missing or makes no sense.
Result<ProcessEnvironment> ReadProcessEnvironment();

// The device of one of several processes: where `device` (as ParseDevice reads it) is a GPU, that
// of its own number. Errors: those of ParseDevice, kInvalidArgument where `device` numbers a GPU
// itself.
Result<std::string> DeviceOfProcess(const std::string& device,
                                    const ProcessEnvironment& environment);

class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;
  // Whether this build has what processes on such a device need.
  static bool Supported(const at::Device& device);
  // Waits for all (`timeout_s` for each later call, too). `device` settles Gloo or NCCL. Errors:
  // kUnavailable where not all come in time, kUnsupported without NCCL in this build.
  static Result<std::unique_ptr<ProcessGroup>> Join(const ProcessEnvironment& environment,
                                                    const at::Device& device, int timeout_s = 600);

  int rank() const { return rank_; }
  int world_size() const { return world_size_; }
  // In place, over all processes; contiguous, on the group's device. The same bits on every one.
  virtual Status Sum(Tensor tensor) = 0;
  // What rank 0 has.
  virtual Status Broadcast(Tensor tensor) = 0;
  // Returns when all have called it.
  Status Barrier();

 protected:
  ProcessGroup(int rank, int world_size, at::Device device)
      : rank_(rank), world_size_(world_size), device_(device) {}

 private:
  int rank_, world_size_;
  at::Device device_;
};

}  // namespace hearth::forge
