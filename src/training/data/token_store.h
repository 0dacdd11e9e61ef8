#pragma once
// Many tokenized rows in a file of 4 bytes a token, mapped: memory stays bounded by an index of 16
// bytes a row, whatever the data's size. The file has no name and vanishes with the store.
// Threads: TokenStoreWriter one at a time; TokenStore immutable.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "training/data/tokenized_row.h"

namespace hearth::forge {

class TokenStore {
 public:
  int64_t num_rows() const { return static_cast<int64_t>(index_.size()); }
  int64_t num_tokens() const { return num_tokens_; }
  int64_t row_tokens(int64_t row) const { return index_[static_cast<size_t>(row)].num_tokens; }
  // Which of the files the row came from, as numbered by who wrote it.
  int32_t row_source(int64_t row) const { return index_[static_cast<size_t>(row)].source; }
  // Whether some row's adapter begins behind its first token.
  bool has_adapter_marks() const { return has_adapter_marks_; }
  TokenizedRow Row(int64_t row) const;

 private:
  friend class TokenStoreWriter;
  struct Entry {
    uint64_t begin = 0;  // in tokens
    int32_t num_tokens = 0;
    int32_t source = 0;
  };
  struct Mapping {
    const uint32_t* words = nullptr;
    size_t size_bytes = 0;
    ~Mapping();
  };
  std::vector<Entry> index_;
  int64_t num_tokens_ = 0;
  bool has_adapter_marks_ = false;
  std::unique_ptr<const Mapping> mapping_;
};

class TokenStoreWriter {
 public:
  // In `folder`; "" is the one for temporary files. Errors: kPermission, kNotFound, kIo.
  static Result<TokenStoreWriter> Create(const std::string& folder = "");
  TokenStoreWriter(TokenStoreWriter&& other) noexcept;
  TokenStoreWriter& operator=(TokenStoreWriter&&) = delete;
  ~TokenStoreWriter();

  // Errors: kResourceExhausted when the disk is full, kIo.
  Status Append(const TokenizedRow& row, int32_t source);
  Result<TokenStore> Finish();

 private:
  TokenStoreWriter(int fd, std::string folder) : folder_(std::move(folder)), fd_(fd) {}
  Status Flush();

  std::string folder_;
  int fd_ = -1;
  std::vector<uint32_t> buffer_;
  TokenStore store_;
};

}  // namespace hearth::forge
