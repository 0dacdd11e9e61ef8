#include "training/data/token_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/check.h"

namespace hearth::forge {
namespace {

// A word is the token's id with its two marks in the bits that no id reaches.
constexpr uint32_t kLearned = uint32_t{1} << 31;
constexpr uint32_t kAdapter = uint32_t{1} << 30;
constexpr uint32_t kIdMask = kAdapter - 1;
constexpr size_t kBufferWords = size_t{256} << 10;

tl::unexpected<Error> SystemError(const std::string& folder) {
  const ErrorCode code = errno == ENOSPC || errno == EDQUOT || errno == ENOMEM
                             ? ErrorCode::kResourceExhausted
                         : errno == EACCES ? ErrorCode::kPermission
                         : errno == ENOENT ? ErrorCode::kNotFound
                                           : ErrorCode::kIo;
  return MakeError(code, "tokens kept in " + folder + ": " + std::strerror(errno));
}

}  // namespace

TokenStore::Mapping::~Mapping() {
  if (words != nullptr) munmap(const_cast<uint32_t*>(words), size_bytes);
}

TokenizedRow TokenStore::Row(int64_t row) const {
  const Entry& entry = index_[static_cast<size_t>(row)];
  const std::span words(mapping_->words + entry.begin, static_cast<size_t>(entry.num_tokens));
  TokenizedRow result;
  result.tokens.reserve(words.size());
  result.learned.reserve(words.size());
  result.adapter_begin = entry.num_tokens;
  for (size_t i = 0; i < words.size(); ++i) {
    result.tokens.push_back(static_cast<int32_t>(words[i] & kIdMask));
    result.learned.push_back((words[i] & kLearned) != 0 ? 1 : 0);
    if ((words[i] & kAdapter) != 0 && result.adapter_begin == entry.num_tokens)
      result.adapter_begin = static_cast<int64_t>(i);
  }
  return result;
}

Result<TokenStoreWriter> TokenStoreWriter::Create(const std::string& folder) {
  std::error_code code;
  const std::string where =
      folder.empty() ? std::filesystem::temp_directory_path(code).string() : folder;
  if (code) return MakeError(ErrorCode::kIo, "no folder for temporary files: " + code.message());
  std::string path = where + "/hearth_forge_tokens_XXXXXX";
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return SystemError(where);
  unlink(path.c_str());
  return TokenStoreWriter(fd, where);
}

TokenStoreWriter::TokenStoreWriter(TokenStoreWriter&& other) noexcept
    : folder_(std::move(other.folder_)),
      fd_(std::exchange(other.fd_, -1)),
      buffer_(std::move(other.buffer_)),
      store_(std::move(other.store_)) {}

TokenStoreWriter::~TokenStoreWriter() {
  if (fd_ >= 0) close(fd_);
}

Status TokenStoreWriter::Append(const TokenizedRow& row, int32_t source) {
  HEARTH_CHECK(row.learned.size() == row.tokens.size());
  store_.index_.push_back(
      {static_cast<uint64_t>(store_.num_tokens_), static_cast<int32_t>(row.tokens.size()), source});
  for (size_t i = 0; i < row.tokens.size(); ++i) {
    HEARTH_CHECK(row.tokens[i] >= 0 && static_cast<uint32_t>(row.tokens[i]) <= kIdMask);
    buffer_.push_back(static_cast<uint32_t>(row.tokens[i]) | (row.learned[i] != 0 ? kLearned : 0) |
                      (static_cast<int64_t>(i) >= row.adapter_begin ? kAdapter : 0));
  }
  store_.num_tokens_ += row.num_tokens();
  store_.has_adapter_marks_ |= row.adapter_begin > 0;
  return buffer_.size() >= kBufferWords ? Flush() : Status();
}

Status TokenStoreWriter::Flush() {
  auto bytes = std::as_bytes(std::span(buffer_));
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError(folder_);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  buffer_.clear();
  return {};
}

Result<TokenStore> TokenStoreWriter::Finish() {
  HEARTH_RETURN_IF_ERROR(Flush());
  auto mapping = std::make_unique<TokenStore::Mapping>();
  if (store_.num_tokens_ > 0) {
    const size_t size_bytes = static_cast<size_t>(store_.num_tokens_) * sizeof(uint32_t);
    void* data = mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, fd_, 0);
    if (data == MAP_FAILED) return SystemError(folder_);
    mapping->words = static_cast<const uint32_t*>(data);
    mapping->size_bytes = size_bytes;
  }
  store_.mapping_ = std::move(mapping);
  store_.index_.shrink_to_fit();
  return std::move(store_);
}

}  // namespace hearth::forge
