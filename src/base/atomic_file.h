#pragma once
// Writes a file that is either whole under its name or not there at all: bytes go to a temporary
// neighbour, which takes the name at Commit and is removed when it never comes to that. Threads:
// one at a time.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace hearth {

class AtomicFile {
 public:
  // Errors: kPermission, kNotFound (no such folder), kIo, each naming `path`.
  static Result<AtomicFile> Create(const std::string& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  // Errors: kResourceExhausted when the disk is full, kIo.
  Status Write(std::span<const std::byte> bytes);
  // Zero bytes up to the next multiple. Requires: a power of two, at most 4096.
  Status PadTo(size_t alignment);
  uint64_t size_bytes() const { return size_bytes_; }

  // Flushes to the disk and takes the name, replacing what had it.
  Status Commit();

 private:
  AtomicFile() = default;
  Status Failed(const char* what) const;
  Status Flush();

  std::string path_;
  std::string temporary_path_;
  std::string buffer_;
  int fd_ = -1;
  uint64_t size_bytes_ = 0;
};

}  // namespace hearth
