#pragma once
// Conversations on the disk, read back in any order: a row takes 8 bytes of memory, whatever its
// length. The file has no name and vanishes with the store, however the program ends.
// Threads: Append and Finish one at a time; Read from many after Finish.

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "training/data/rows.h"

namespace hearth::forge {

class RowStore {
 public:
  // In `folder`. Errors: kPermission, kNotFound, kIo.
  static Result<RowStore> Create(const std::string& folder);
  RowStore(RowStore&& other) noexcept;
  RowStore& operator=(RowStore&&) = delete;
  ~RowStore();

  // Errors: kResourceExhausted when the disk is full, kIo.
  Status Append(const Conversation& conversation);
  // No Append after it.
  Status Finish();

  uint32_t size() const { return static_cast<uint32_t>(begins_.size()); }
  uint64_t size_bytes() const { return size_bytes_; }
  // What the disk refuses comes back as a conversation without messages, and status() says so from
  // then on. Requires: Finish was called, row < size().
  Conversation Read(uint32_t row) const;
  // Errors: kIo.
  Status status() const;

 private:
  RowStore(int fd, std::string folder) : fd_(fd), folder_(std::move(folder)) {}
  Status Flush();

  int fd_ = -1;
  std::string folder_;
  std::string buffer_;
  std::vector<uint64_t> begins_;
  uint64_t size_bytes_ = 0;
  bool finished_ = false;
  mutable std::atomic<int> read_error_ = 0;  // an errno
};

}  // namespace hearth::forge
