#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace hearth {
namespace {

constexpr size_t kBufferBytes = 1 << 20;

ErrorCode CodeOf(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorCode::kResourceExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::kPermission;
    case ENOENT:
    case ENOTDIR:
      return ErrorCode::kNotFound;
    default:
      return ErrorCode::kIo;
  }
}

}  // namespace

Status AtomicFile::Failed(const char* what) const {
  const int error = errno;
  return MakeError(CodeOf(error),
                   "cannot " + std::string(what) + " " + path_ + ": " + std::strerror(error));
}

Result<AtomicFile> AtomicFile::Create(const std::string& path) {
  AtomicFile file;
  file.path_ = path;
  file.temporary_path_ = path + ".part-XXXXXX";
  file.fd_ = mkostemp(file.temporary_path_.data(), O_CLOEXEC);
  if (file.fd_ < 0) {
    file.temporary_path_.clear();
    return tl::unexpected(file.Failed("create").error());
  }
  // mkostemp gives 0600; what the user makes is to be as readable as any file of theirs.
  const mode_t mask = umask(0);
  umask(mask);
  fchmod(file.fd_, 0666 & ~mask);
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept { *this = std::move(other); }

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_path_, other.temporary_path_);
  std::swap(buffer_, other.buffer_);
  std::swap(fd_, other.fd_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_path_.empty()) unlink(temporary_path_.c_str());
}

Status AtomicFile::Flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t written = write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failed("write");
    done += static_cast<size_t>(written);
  }
  buffer_.clear();
  return {};
}

Status AtomicFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const size_t count = std::min(bytes.size(), kBufferBytes - buffer_.size());
    buffer_.append(reinterpret_cast<const char*>(bytes.data()), count);
    size_bytes_ += count;
    bytes = bytes.subspan(count);
    if (buffer_.size() == kBufferBytes) HEARTH_RETURN_IF_ERROR(Flush());
  }
  return {};
}

Status AtomicFile::PadTo(size_t alignment) {
  static constexpr std::byte kZeros[4096] = {};
  HEARTH_CHECK(alignment > 0 && alignment <= sizeof(kZeros));
  return Write({kZeros, (alignment - size_bytes_ % alignment) % alignment});
}

Status AtomicFile::Commit() {
  HEARTH_RETURN_IF_ERROR(Flush());
  if (fsync(fd_) != 0) return Failed("flush");
  if (close(std::exchange(fd_, -1)) != 0) return Failed("close");
  if (std::rename(temporary_path_.c_str(), path_.c_str()) != 0) return Failed("write");
  temporary_path_.clear();
  return {};
}

}  // namespace hearth
