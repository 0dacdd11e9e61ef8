#pragma once
// SHA-256 (FIPS 180-4) of bytes as they come. Threads: one at a time.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth {

class Sha256 {
 public:
  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text) { Update(std::as_bytes(std::span(text))); }
  // The digest of everything so far as 64 lower-case hexadecimal digits. Ends the use of the
  // object.
  std::string Finish();

 private:
  void Block(const std::byte* block);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> pending_;
  size_t num_pending_ = 0;
  uint64_t size_bytes_ = 0;
};

std::string Sha256Of(std::string_view text);
// Of a regular file, read once in pieces. Errors: kNotFound, kPermission, kIo, each naming the
// path.
Result<std::string> Sha256OfFile(const std::string& path);

}  // namespace hearth
