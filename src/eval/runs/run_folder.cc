#include "eval/runs/run_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>

#include "base/atomic_file.h"

namespace hearth::eval {
namespace {

constexpr int kFormat = 1;

Error SystemError(const std::string& path, int error) {
  const ErrorCode code = error == EACCES   ? ErrorCode::kPermission
                         : error == ENOSPC ? ErrorCode::kResourceExhausted
                                           : ErrorCode::kIo;
  return {code, path + ": " + std::strerror(error)};
}

Status WriteWhole(const std::string& path, const std::string& content) {
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(content))));
  return file.Commit();
}

Result<Json> ReadJsonFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return MakeError(ErrorCode::kNotFound, "there is no " + path);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  Result<Json> json = ParseJson(text);
  if (!json || !json->is_object())
    return MakeError(ErrorCode::kCorrupt, path + " is not a JSON object");
  return json;
}

std::string Shown(const Json& settings, const std::string& key) {
  return settings.contains(key) ? JsonText(settings[key]) : "not set";
}

Status CheckSameSettings(const Json& stored, const Json& asked, const std::string& path) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : asked.items()) keys.push_back(key);
  for (const auto& [key, value] : stored.items())
    if (!asked.contains(key)) keys.push_back(key);
  for (const std::string& key : keys) {
    if (stored.contains(key) && asked.contains(key) && stored[key] == asked[key]) continue;
    return MakeError(ErrorCode::kInvalidArgument, path + " holds a run with " + key + " " +
                                                      Shown(stored, key) + ", now it is " +
                                                      Shown(asked, key) + ": take another folder");
  }
  return {};
}

}  // namespace

Result<std::vector<ItemResult>> ReadItems(const std::string& path, size_t* num_good_bytes) {
  std::vector<ItemResult> items;
  *num_good_bytes = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return items;
  const std::string text(std::istreambuf_iterator<char>(in), {});
  for (size_t begin = 0, number = 1; begin < text.size(); ++number) {
    const size_t end = text.find('\n', begin);
    // The program or the machine went down while it was written.
    if (end == std::string::npos) break;
    Result<Json> json = ParseJson(std::string_view(text).substr(begin, end - begin));
    Result<ItemResult> item =
        json && json->is_object()
            ? ItemFromJson(*json)
            : Result<ItemResult>(MakeError(ErrorCode::kCorrupt, "not a JSON object"));
    if (!item) {
      return MakeError(ErrorCode::kCorrupt,
                       path + ", line " + std::to_string(number) + ": " + item.error().message);
    }
    items.push_back(std::move(*item));
    begin = end + 1;
    *num_good_bytes = begin;
  }
  return items;
}

Result<std::unique_ptr<RunFolder>> RunFolder::Open(const std::string& path, const Json& settings,
                                                   bool resume) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return tl::unexpected(SystemError(path, error.value()));
  const std::string run_path = path + "/run.json", items_path = path + "/items.jsonl";
  if (std::filesystem::exists(run_path, error)) {
    HEARTH_ASSIGN_OR_RETURN(const Json run, ReadJsonFile(run_path));
    if (!resume) {
      return MakeError(ErrorCode::kInvalidArgument,
                       path + " holds a run already; --resume goes on with it");
    }
    if (!run.contains("settings") || !run["settings"].is_object())
      return MakeError(ErrorCode::kCorrupt, run_path + " has no settings");
    HEARTH_RETURN_IF_ERROR(CheckSameSettings(run["settings"], settings, path));
  } else {
    if (std::filesystem::exists(items_path, error)) {
      return MakeError(ErrorCode::kCorrupt,
                       items_path + " is there without a run.json: take another folder");
    }
    HEARTH_RETURN_IF_ERROR(WriteWhole(
        run_path,
        JsonText({{"format", "hearth-eval"}, {"version", kFormat}, {"settings", settings}}, 2) +
            "\n"));
  }
  size_t num_good_bytes = 0;
  HEARTH_ASSIGN_OR_RETURN(std::vector<ItemResult> items, ReadItems(items_path, &num_good_bytes));
  const int fd = open(items_path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return tl::unexpected(SystemError(items_path, errno));
  std::unique_ptr<RunFolder> folder(new RunFolder(path, fd));
  if (ftruncate(fd, static_cast<off_t>(num_good_bytes)) != 0)
    return tl::unexpected(SystemError(items_path, errno));
  for (ItemResult& item : items) {
    const std::pair key(item.suite, item.id);
    folder->items_.emplace(key, std::move(item));
  }
  return folder;
}

RunFolder::~RunFolder() { close(fd_); }

const ItemResult* RunFolder::Find(const std::string& suite, const std::string& id) const {
  const auto found = items_.find({suite, id});
  return found == items_.end() ? nullptr : &found->second;
}

Status RunFolder::Append(const ItemResult& item) {
  const std::string line = JsonText(ToJson(item)) + "\n";
  const std::lock_guard lock(mutex_);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return tl::unexpected(SystemError(path_ + "/items.jsonl", errno));
    rest.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Status RunFolder::Write(const std::string& name, const std::string& content) const {
  return WriteWhole(path_ + "/" + name, content);
}

Result<StoredRun> ReadRun(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const Json run, ReadJsonFile(path + "/run.json"));
  if (!run.contains("settings") || !run["settings"].is_object())
    return MakeError(ErrorCode::kCorrupt, path + "/run.json has no settings");
  StoredRun stored;
  stored.settings = run["settings"];
  std::error_code error;
  if (std::filesystem::exists(path + "/results.json", error)) {
    HEARTH_ASSIGN_OR_RETURN(stored.results, ReadJsonFile(path + "/results.json"));
  }
  size_t num_good_bytes = 0;
  HEARTH_ASSIGN_OR_RETURN(stored.items, ReadItems(path + "/items.jsonl", &num_good_bytes));
  return stored;
}

}  // namespace hearth::eval
