#pragma once
// Bytes of a GGUF file -> metadata and tensors. Not for users: they open a GgufFile.

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "runtime/gguf/gguf.h"

namespace hearth {

struct GgufContents {
  uint32_t version = 0;
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::vector<GgufTensor> tensors;  // their data are views into the bytes parsed
  std::map<std::string, size_t, std::less<>> tensor_index;
};

// Errors: as GgufFile::Open, without the path. Memory is bounded by a small multiple of the
// metadata's own bytes.
Result<GgufContents> ParseGguf(std::span<const std::byte> bytes);

// A name from a file as a message may show it: quoted, shortened, control characters escaped.
std::string QuoteName(std::string_view name);

}  // namespace hearth
