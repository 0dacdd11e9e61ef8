#include "training/trainer/process_group.h"

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>

// c10d's own headers hide behind these; whether this libtorch has the code is another question,
// which its packages answer: Debian's has Gloo, PyTorch's for CUDA has NCCL.
#if __has_include(<gloo/context.h>) && !HEARTH_TORCH_2
#define HEARTH_GLOO 1
#if !defined(USE_C10D_GLOO)
#define USE_C10D_GLOO
#endif
#else
#define HEARTH_GLOO 0
#endif
#if HEARTH_TORCH_2 && __has_include(<nccl.h>) && __has_include(<cuda_runtime_api.h>)
#define HEARTH_NCCL 1
#if !defined(USE_C10D_NCCL)
#define USE_C10D_NCCL
#endif
#else
#define HEARTH_NCCL 0
#endif

#if HEARTH_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#if HEARTH_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif
#if HEARTH_GLOO || HEARTH_NCCL
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

namespace hearth::forge {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Result<int> NumberOf(const char* name, int least, int most) {
  const std::string text = Variable(name);
  int number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || code != std::errc() || end != text.data() + text.size() || number < least ||
      number > most) {
    return MakeError(ErrorCode::kInvalidArgument,
                     std::string(name) + " is '" + text + "', not a number from " +
                         std::to_string(least) + " to " + std::to_string(most));
  }
  return number;
}

#if HEARTH_GLOO || HEARTH_NCCL

c10::intrusive_ptr<c10d::Store> OpenStore(const ProcessEnvironment& environment,
                                          std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(environment.master_port);
  options.isServer = environment.rank == 0 && !environment.agent_hosts_store;
  options.numWorkers = static_cast<size_t>(environment.world_size);
  // The agent's store counts nobody.
  options.waitWorkers = !environment.agent_hosts_store;
  options.timeout = timeout;
  auto store = c10::make_intrusive<c10d::TCPStore>(environment.master_address, options);
  // torchrun may start the same processes again on the same store.
  return c10::make_intrusive<c10d::PrefixStore>("hearth/" + Variable("TORCHELASTIC_RESTART_COUNT"),
                                                std::move(store));
}

// Gloo's and NCCL's groups have these calls in common, under different bases.
template <typename Backend>
class C10dGroup final : public ProcessGroup {
 public:
  C10dGroup(int rank, int world_size, at::Device device, c10::intrusive_ptr<Backend> backend)
      : ProcessGroup(rank, world_size, device), backend_(std::move(backend)) {}
  ~C10dGroup() override {
    // NCCL's must be told, lest its threads outlive what they watch.
    if constexpr (requires { backend_->shutdown(); }) {
      static_cast<void>(CatchTorch("shutdown", [this]() -> Status {
        backend_->shutdown();
        return {};
      }));
    }
  }

  Status Sum(Tensor tensor) override {
    return Guarded("sum over processes", [&] {
      std::vector<Tensor> tensors = {std::move(tensor)};
      backend_->allreduce(tensors, c10d::AllreduceOptions())->wait();
    });
  }
  Status Broadcast(Tensor tensor) override {
    return Guarded("broadcast", [&] {
      std::vector<Tensor> tensors = {std::move(tensor)};
      backend_->broadcast(tensors, c10d::BroadcastOptions())->wait();
    });
  }

 private:
  template <typename Body>
  Status Guarded(const char* what, Body body) {
    const Status status = CatchTorch(what, [&]() -> Status {
      body();
      return {};
    });
    if (status) return {};
    return MakeError(ErrorCode::kUnavailable, "process " + std::to_string(rank()) + " of " +
                                                  std::to_string(world_size()) + ": " +
                                                  status.error().message);
  }

  c10::intrusive_ptr<Backend> backend_;
};

#endif

}  // namespace

Result<ProcessEnvironment> ReadProcessEnvironment() {
  ProcessEnvironment environment;
  if (Variable("WORLD_SIZE").empty()) return environment;
  HEARTH_ASSIGN_OR_RETURN(environment.world_size, NumberOf("WORLD_SIZE", 1, 4096));
  if (environment.world_size == 1) return environment;
  HEARTH_ASSIGN_OR_RETURN(environment.rank, NumberOf("RANK", 0, environment.world_size - 1));
  HEARTH_ASSIGN_OR_RETURN(environment.local_rank,
                          NumberOf("LOCAL_RANK", 0, environment.world_size - 1));
  HEARTH_ASSIGN_OR_RETURN(environment.master_port, NumberOf("MASTER_PORT", 1, 65535));
  environment.master_address = Variable("MASTER_ADDR");
  if (environment.master_address.empty())
    return MakeError(ErrorCode::kInvalidArgument, "MASTER_ADDR is not set, but WORLD_SIZE is");
  environment.agent_hosts_store = Variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  return environment;
}

Result<std::string> DeviceOfProcess(const std::string& device,
                                    const ProcessEnvironment& environment) {
  HEARTH_ASSIGN_OR_RETURN(const at::Device first, ParseDevice(device));
  if (environment.world_size == 1 || !first.is_cuda()) return device;
  if (device != "auto" && device != "cuda")
    return MakeError(ErrorCode::kInvalidArgument,
                     "device " + device + " is one GPU, but each process takes its own: cuda");
  return "cuda:" + std::to_string(environment.local_rank);
}

Status ProcessGroup::Barrier() {
  Tensor one = at::ones({1}, at::TensorOptions().device(device_).dtype(at::kFloat));
  HEARTH_RETURN_IF_ERROR(Sum(one));
  return CatchTorch("barrier", [&]() -> Status {
    one.to(at::kCPU);  // waits for the device
    return {};
  });
}

bool ProcessGroup::Supported(const at::Device& device) {
  return (HEARTH_GLOO && device.is_cpu()) || (HEARTH_NCCL && device.is_cuda());
}

Result<std::unique_ptr<ProcessGroup>> ProcessGroup::Join(
    [[maybe_unused]] const ProcessEnvironment& environment, const at::Device& device,
    [[maybe_unused]] int timeout_s) {
  if (!Supported(device)) {
    return MakeError(ErrorCode::kUnsupported, std::string("several processes on ") + device.str() +
                                                  ": this build has no " +
                                                  (device.is_cuda() ? "NCCL" : "Gloo") +
                                                  " (libtorch " + TorchVersion() + ")");
  }
  [[maybe_unused]] const std::chrono::milliseconds timeout = std::chrono::seconds(timeout_s);
  std::unique_ptr<ProcessGroup> group;
#if HEARTH_GLOO
  if (device.is_cpu()) {
    const Status joined = CatchTorch("Gloo", [&]() -> Status {
      auto options = c10d::ProcessGroupGloo::Options::create(timeout);
      // The address through which we reach the others; a machine's own name may lead to another.
      options->devices = {environment.master_address == "127.0.0.1" ||
                                  environment.master_address == "localhost"
                              ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                              : c10d::ProcessGroupGloo::createDefaultDevice()};
      auto backend = c10::make_intrusive<c10d::ProcessGroupGloo>(
          OpenStore(environment, timeout), environment.rank, environment.world_size, options);
      group = std::make_unique<C10dGroup<c10d::ProcessGroupGloo>>(
          environment.rank, environment.world_size, device, std::move(backend));
      return group->Barrier();
    });
    if (!joined) return MakeError(ErrorCode::kUnavailable, joined.error().message);
  }
#endif
#if HEARTH_NCCL
  if (device.is_cuda()) {
    const Status joined = CatchTorch("NCCL", [&]() -> Status {
      c10::cuda::set_device(device.index());
      auto options = c10d::ProcessGroupNCCL::Options::create();
      options->timeout = timeout;
      auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(
          OpenStore(environment, timeout), environment.rank, environment.world_size, options);
      group = std::make_unique<C10dGroup<c10d::ProcessGroupNCCL>>(
          environment.rank, environment.world_size, device, std::move(backend));
      return group->Barrier();
    });
    if (!joined) return MakeError(ErrorCode::kUnavailable, joined.error().message);
  }
#endif
  return group;
}

}  // namespace hearth::forge
