#pragma once
// A file's bytes in order, decompressed on the way: plain, gzip (several members too) or zstd, told
// apart by the file's first bytes, not by its name. Memory does not grow with the file.
// Threads: one at a time.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace hearth::forge {

class ByteStream {
 public:
  // "-" is standard input. Errors: kNotFound, kPermission, kIo, each naming the path.
  static Result<ByteStream> Open(const std::string& path);

  ByteStream(ByteStream&&) noexcept;
  ByteStream& operator=(ByteStream&&) noexcept;
  ~ByteStream();

  // Fills the beginning of `out`; 0 is the end. Errors: kIo, kCorrupt (damaged or cut-off
  // compressed data, naming the path). Requires: `out` is not empty.
  Result<size_t> Read(std::span<char> out);

  const std::string& path() const;
  // Bytes of the file taken so far, before decompression, and its size (0 where it has none): what
  // a progress bar shows.
  uint64_t file_bytes_read() const;
  uint64_t file_size_bytes() const;

 private:
  struct State;
  explicit ByteStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace hearth::forge
