#pragma once
// A file's identity and its whole content. Threads: pure functions.

#include <cstdint>
#include <string>

#include "base/result.h"

namespace hearth::forge {

struct FileHash {
  uint64_t size_bytes = 0;
  std::string hex;  // XXH3, 128 bits, as 32 digits
};
// Errors: kNotFound, kPermission, kIo, each naming the path.
Result<FileHash> HashFile(const std::string& path);

// At most 16 MiB. Errors: likewise; kResourceExhausted for more.
Result<std::string> ReadWholeFile(const std::string& path);

// With quotation marks, as JSON has it.
std::string QuoteJson(const std::string& text);

}  // namespace hearth::forge
