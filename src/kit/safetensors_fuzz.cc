// Any bytes parse to an error or to tensors whose every byte can be read and whose shapes fit them.

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "kit/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tensors = hearth::ParseSafetensors(std::as_bytes(std::span(data, size)));
  if (!tensors) {
    HEARTH_CHECK(!tensors.error().message.empty());
    return 0;
  }
  unsigned sum = 0;
  for (const hearth::SafeTensor& tensor : *tensors) {
    uint64_t num_elements = 1;
    for (const uint64_t extent : tensor.shape) num_elements *= extent;
    HEARTH_CHECK(num_elements * hearth::InfoOf(tensor.type).block_bytes == tensor.data.size());
    for (const std::byte byte : tensor.data) sum += static_cast<unsigned>(byte);
  }
  return sum == 1u << 31 ? 1 : 0;  // the sum is used, so the reads happen
}
