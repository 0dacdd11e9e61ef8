#include "training/recipe/stages/model_options.h"

#include "training/trainer/process_group.h"

namespace hearth::forge {

std::string DtypeName(const Parameters& parameters) {
  const std::string& bf16 = parameters.String("bf16");
  return bf16 == "auto" ? "auto" : bf16 == "true" ? "bf16" : "f32";
}

std::string DeviceNameOf(const Parameters& parameters) {
  const std::string& device = parameters.String("device");
  const Result<ProcessEnvironment> environment = ReadProcessEnvironment();
  if (!environment) return device;
  return DeviceOfProcess(device, *environment).value_or(device);
}

Result<DecoderOptions> ModelOptionsOf(const Parameters& parameters) {
  HEARTH_ASSIGN_OR_RETURN(const at::Device device, ParseDevice(DeviceNameOf(parameters)));
  HEARTH_ASSIGN_OR_RETURN(const at::ScalarType dtype, ParseDtype(DtypeName(parameters), device));
  return DecoderOptions{device, dtype};
}

void SetDevice(const Parameters& parameters, StageResult& result) {
  const Result<at::Device> device = ParseDevice(DeviceNameOf(parameters));
  if (!device) return;
  result.device = DeviceName(*device);
  result.num_devices = device->is_cuda() ? 1 : 0;
  const int64_t processes =
      parameters.Has("num_processes") ? parameters.Int("num_processes") : int64_t{1};
  if (processes > 1) {
    result.device = std::to_string(processes) + " x " + result.device;
    result.num_devices *= static_cast<int>(processes);
  }
}

}  // namespace hearth::forge
