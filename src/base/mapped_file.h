#pragma once
// A file mapped read-only into memory. Immutable after construction; safe to read from many
// threads.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace hearth {

class MappedFile {
 public:
  // Errors: kNotFound, kPermission, kIo (a directory, a FIFO or an empty file among them), each
  // naming `path`.
  static Result<MappedFile> Open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_bytes_}; }
  const std::string& path() const { return path_; }

  // Lets the kernel drop these pages from our resident set; they are read again from the file when
  // touched.
  void Release(size_t offset, size_t size_bytes) const;
  // Asks the kernel to read the file into huge pages and to map it with them, where it can.
  void PreferHugePages() const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace hearth
