#include "training/recipe/stages/model_options.h"

namespace hearth::forge {

std::string DtypeName(const Parameters& parameters) {
  const std::string& bf16 = parameters.String("bf16");
  return bf16 == "auto" ? "auto" : bf16 == "true" ? "bf16" : "f32";
}

Result<DecoderOptions> ModelOptionsOf(const Parameters& parameters) {
  HEARTH_ASSIGN_OR_RETURN(const at::Device device, ParseDevice(parameters.String("device")));
  HEARTH_ASSIGN_OR_RETURN(const at::ScalarType dtype, ParseDtype(DtypeName(parameters), device));
  return DecoderOptions{device, dtype};
}

void SetDevice(const Parameters& parameters, StageResult& result) {
  const Result<at::Device> device = ParseDevice(parameters.String("device"));
  if (!device) return;
  result.device = DeviceName(*device);
  result.num_devices = device->is_cuda() ? 1 : 0;
}

}  // namespace hearth::forge
