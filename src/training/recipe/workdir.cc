#include "training/recipe/workdir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/sha256.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> FailedWith(const std::string& path, const std::error_code& error) {
  ErrorCode code = ErrorCode::kIo;
  if (error == std::errc::permission_denied) code = ErrorCode::kPermission;
  if (error == std::errc::no_space_on_device) code = ErrorCode::kResourceExhausted;
  if (error == std::errc::no_such_file_or_directory) code = ErrorCode::kNotFound;
  return MakeError(code, path + ": " + error.message());
}

tl::unexpected<Error> FailedWithErrno(const std::string& path) {
  return FailedWith(path, std::error_code(errno, std::generic_category()));
}

Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return FailedWith(path, error);
  return {};
}

Status Remove(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return FailedWith(path, error);
  return {};
}

Status Rename(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) return FailedWith(from, error);
  return {};
}

Status SyncOne(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FailedWithErrno(path);
  const int failed = fsync(fd);
  const int error = errno;
  close(fd);
  // Some filesystems do not sync folders.
  if (failed != 0 && error != EINVAL && error != EROFS) {
    errno = error;
    return FailedWithErrno(path);
  }
  return {};
}

Status SyncTree(const std::string& folder) {
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error), end;
  for (; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored) || it->is_directory(ignored))
      HEARTH_RETURN_IF_ERROR(SyncOne(it->path().string()));
  }
  if (error) return FailedWith(folder, error);
  return SyncOne(folder);
}

std::string ReadLockFile(int fd) {
  char text[512];
  const ssize_t size = pread(fd, text, sizeof text, 0);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : "another process";
}

}  // namespace

Result<Workdir> Workdir::Lock(const std::string& path, const LockOptions& options) {
  HEARTH_RETURN_IF_ERROR(MakeFolder(path));
  const std::string lock_path = path + "/lock";
  const int fd = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return FailedWithErrno(lock_path);
  Workdir workdir(path, fd);
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return FailedWithErrno(lock_path);
    if (!options.wait) {
      return MakeError(ErrorCode::kUnavailable, path + " is in use by " + ReadLockFile(fd) +
                                                    "; wait for it with --wait, or take another "
                                                    "--workdir");
    }
    if (options.cancelled != nullptr && options.cancelled->load())
      return MakeError(ErrorCode::kCancelled, "stopped while waiting for " + path);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const std::string holder = "process " + std::to_string(getpid()) + " (" + options.holder + ")";
  if (ftruncate(fd, 0) != 0 || pwrite(fd, holder.data(), holder.size(), 0) < 0)
    return FailedWithErrno(lock_path);
  for (const char* folder : {"/artifacts", "/working", "/trash"})
    HEARTH_RETURN_IF_ERROR(MakeFolder(path + folder));
  workdir.EmptyTrash();
  return workdir;
}

Workdir::Workdir(Workdir&& other) noexcept
    : path_(std::move(other.path_)), lock_fd_(std::exchange(other.lock_fd_, -1)) {}

Workdir::~Workdir() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

std::string Workdir::ArtifactFolder(std::string_view key) const {
  return path_ + "/artifacts/" + std::string(key);
}

std::string Workdir::WorkingFolder(std::string_view key) const {
  return path_ + "/working/" + std::string(key);
}

Result<Workdir::StageFolders> Workdir::Prepare(std::string_view key) const {
  StageFolders folders{WorkingFolder(key) + "/output", WorkingFolder(key) + "/scratch"};
  HEARTH_RETURN_IF_ERROR(Remove(folders.output));
  HEARTH_RETURN_IF_ERROR(MakeFolder(folders.output));
  HEARTH_RETURN_IF_ERROR(MakeFolder(folders.scratch));
  return folders;
}

Status Workdir::Keep(std::string_view key) const {
  const std::string output = WorkingFolder(key) + "/output";
  HEARTH_RETURN_IF_ERROR(SyncTree(output));
  std::error_code error;
  if (fs::exists(ArtifactFolder(key), error))
    HEARTH_RETURN_IF_ERROR(MoveToTrash(ArtifactFolder(key)));
  HEARTH_RETURN_IF_ERROR(Rename(output, ArtifactFolder(key)));
  HEARTH_RETURN_IF_ERROR(SyncOne(path_ + "/artifacts"));
  HEARTH_RETURN_IF_ERROR(MoveToTrash(WorkingFolder(key)));
  EmptyTrash();
  return {};
}

Status Workdir::Discard(std::string_view key) const {
  std::error_code error;
  for (const std::string& folder : {ArtifactFolder(key), WorkingFolder(key)})
    if (fs::exists(folder, error)) HEARTH_RETURN_IF_ERROR(MoveToTrash(folder));
  EmptyTrash();
  return {};
}

Status Workdir::MoveToTrash(const std::string& folder) const {
  for (int number = 0;; ++number) {
    const std::string target = path_ + "/trash/" + std::to_string(number);
    std::error_code error;
    if (fs::exists(target, error)) continue;
    return Rename(folder, target);
  }
}

void Workdir::EmptyTrash() const {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_ + "/trash", error)) {
    std::error_code ignored;
    fs::remove_all(entry.path(), ignored);
  }
}

std::optional<std::string> HolderOf(const std::string& workdir) {
  const int fd = open((workdir + "/lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::optional<std::string> holder;
  if (flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) holder = ReadLockFile(fd);
  close(fd);
  return holder;
}

Status CopyOutput(const std::string& source, const std::string& target) {
  std::error_code error;
  if (fs::is_regular_file(target, error) && fs::is_regular_file(source, error) &&
      fs::file_size(target, error) == fs::file_size(source, error)) {
    const Result<std::string> old_hash = Sha256OfFile(target);
    const Result<std::string> new_hash = Sha256OfFile(source);
    if (old_hash && new_hash && *old_hash == *new_hash) return {};
  }
  const fs::path parent = fs::path(target).parent_path();
  HEARTH_RETURN_IF_ERROR(MakeFolder(parent.string()));
  const std::string part = target + ".part";
  HEARTH_RETURN_IF_ERROR(Remove(part));
  fs::copy(source, part, fs::copy_options::recursive, error);
  if (error) {
    const auto failed = FailedWith(part, error);
    static_cast<void>(Remove(part));
    return failed;
  }
  // A folder cannot take the place of another one that is not empty.
  if (fs::is_directory(target, error)) HEARTH_RETURN_IF_ERROR(Remove(target));
  return Rename(part, target);
}

}  // namespace hearth::forge
