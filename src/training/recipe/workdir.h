#pragma once
// The folder that runs work in:
//
//   ledger.db            training/recipe/ledger.h
//   lock                 held by the process that runs a recipe here; names it
//   artifacts/KEY/       what stages made; complete and never changed
//   working/KEY/         a stage under way: output/, scratch/, stage.log
//   trash/               on its way out
//
// Moves between them are renames, so that a kill at any moment leaves each artifact whole or
// absent.

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth::forge {

class Workdir {
 public:
  // Makes the folder and takes its lock, which ends with the object or the process. `wait`: until
  // another process gives it back, else kUnavailable naming that process. Errors: kPermission,
  // kIo, naming the path. `cancelled` may end the wait with kCancelled.
  struct LockOptions {
    bool wait = false;
    std::string holder;  // what others are told, e.g. "recipes/a.yaml"
    const std::atomic<bool>* cancelled = nullptr;
  };
  static Result<Workdir> Lock(const std::string& path, const LockOptions& options);

  Workdir(Workdir&& other) noexcept;
  Workdir& operator=(Workdir&&) = delete;
  ~Workdir();

  const std::string& path() const { return path_; }
  std::string ArtifactFolder(std::string_view key) const;
  std::string WorkingFolder(std::string_view key) const;
  std::string LogPath(std::string_view key) const { return WorkingFolder(key) + "/stage.log"; }

  // An empty output folder and the scratch folder as an earlier attempt left it.
  struct StageFolders {
    std::string output, scratch;
  };
  Result<StageFolders> Prepare(std::string_view key) const;
  // The output folder, written to the disk, takes the artifact's place; an older one goes.
  Status Keep(std::string_view key) const;
  // Removes an artifact, and a stage under way with its scratch folder.
  Status Discard(std::string_view key) const;

 private:
  explicit Workdir(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  Status MoveToTrash(const std::string& folder) const;
  void EmptyTrash() const;

  std::string path_;
  int lock_fd_ = -1;
};

// Who holds the lock, if anybody; works while nobody may write there.
std::optional<std::string> HolderOf(const std::string& workdir);

// Copies a file or folder to `target`, which is replaced, as a whole under its name. Does nothing
// when `target` is a file of the same bytes.
Status CopyOutput(const std::string& source, const std::string& target);

}  // namespace hearth::forge
