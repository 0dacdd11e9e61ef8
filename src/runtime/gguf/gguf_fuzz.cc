// Any bytes parse to an error or to a file whose every tensor can be read.

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "runtime/gguf/gguf_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto contents = hearth::ParseGguf(std::as_bytes(std::span(data, size)));
  if (!contents) {
    HEARTH_CHECK(!contents.error().message.empty());
    return 0;
  }
  unsigned sum = 0;
  for (const hearth::GgufTensor& tensor : contents->tensors) {
    HEARTH_CHECK(tensor.row_bytes() * tensor.num_rows() == tensor.data.size());
    sum += static_cast<unsigned>(tensor.data.front()) + static_cast<unsigned>(tensor.data.back());
  }
  return sum == 1u << 31 ? 1 : 0;  // the sum is used, so the reads happen
}
