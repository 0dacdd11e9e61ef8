#include "training/curate/row_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace hearth::forge {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

tl::unexpected<Error> SystemError(const std::string& folder, int error) {
  const ErrorCode code = error == ENOSPC || error == EDQUOT || error == ENOMEM || error == EFBIG
                             ? ErrorCode::kResourceExhausted
                         : error == EACCES ? ErrorCode::kPermission
                         : error == ENOENT ? ErrorCode::kNotFound
                                           : ErrorCode::kIo;
  return MakeError(code, "rows kept in " + folder + ": " + std::strerror(error));
}

// Native byte order: nobody else ever reads the file.
template <typename T>
void Put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void PutText(std::string& out, const std::string& text) {
  Put(out, static_cast<uint64_t>(text.size()));
  out += text;
}
template <typename T>
T Take(const char*& at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  at += sizeof value;
  return value;
}
std::string TakeText(const char*& at) {
  const auto size = Take<uint64_t>(at);
  std::string text(at, size);
  at += size;
  return text;
}

}  // namespace

Result<RowStore> RowStore::Create(const std::string& folder) {
  std::string path = folder + "/hearth_forge_rows_XXXXXX";
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return SystemError(folder, errno);
  unlink(path.c_str());
  return RowStore(fd, folder);
}

RowStore::RowStore(RowStore&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      folder_(std::move(other.folder_)),
      buffer_(std::move(other.buffer_)),
      begins_(std::move(other.begins_)),
      size_bytes_(other.size_bytes_),
      finished_(other.finished_),
      read_error_(other.read_error_.load()) {}

RowStore::~RowStore() {
  if (fd_ >= 0) close(fd_);
}

Status RowStore::Append(const Conversation& conversation) {
  HEARTH_CHECK(!finished_);
  const size_t before = buffer_.size();
  begins_.push_back(size_bytes_);
  Put(buffer_, static_cast<int32_t>(conversation.source));
  Put(buffer_, conversation.line);
  Put(buffer_, static_cast<uint8_t>(conversation.format));
  Put(buffer_, static_cast<uint64_t>(conversation.messages.size()));
  for (const Message& message : conversation.messages) {
    PutText(buffer_, message.role);
    PutText(buffer_, message.content);
  }
  size_bytes_ += buffer_.size() - before;
  return buffer_.size() >= kBufferBytes ? Flush() : Status();
}

Status RowStore::Flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t written = write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError(folder_, errno);
    rest.remove_prefix(static_cast<size_t>(written));
  }
  buffer_.clear();
  return {};
}

Status RowStore::Finish() {
  HEARTH_RETURN_IF_ERROR(Flush());
  std::string().swap(buffer_);
  finished_ = true;
  return {};
}

// Not mapped: the pages would count as ours.
Conversation RowStore::Read(uint32_t row) const {
  HEARTH_CHECK(finished_ && row < begins_.size());
  const uint64_t begin = begins_[row];
  const uint64_t end = row + size_t{1} < begins_.size() ? begins_[row + size_t{1}] : size_bytes_;
  thread_local std::string bytes;
  bytes.resize(end - begin);
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t got =
        pread(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(begin + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      read_error_ = got < 0 ? errno : EIO;
      return {};
    }
    done += static_cast<size_t>(got);
  }
  const char* at = bytes.data();
  Conversation conversation;
  conversation.source = Take<int32_t>(at);
  conversation.line = Take<int64_t>(at);
  conversation.format = static_cast<RowFormat>(Take<uint8_t>(at));
  conversation.messages.resize(Take<uint64_t>(at));
  for (Message& message : conversation.messages) {
    message.role = TakeText(at);
    message.content = TakeText(at);
  }
  return conversation;
}

Status RowStore::status() const {
  const int error = read_error_;
  if (error != 0) return SystemError(folder_, error);
  return {};
}

}  // namespace hearth::forge
