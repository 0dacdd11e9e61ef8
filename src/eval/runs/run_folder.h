#pragma once
// The folder of a run: run.json says what was asked, items.jsonl holds every finished item, one
// line each, written as it finishes. A run that was stopped goes on where it was; a folder is never
// continued with another model, suite or option.
// Threads: Append is safe from many threads, the rest is not.

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "eval/suites/suite.h"

namespace hearth::eval {

class RunFolder {
 public:
  // Creates the folder or opens it again. `settings` is a flat object: everything that decides what
  // comes out. Errors: kInvalidArgument when the folder holds a run and `resume` is false, or one
  // with other settings (names the first that differs, with both values); kIo, kPermission,
  // kCorrupt.
  static Result<std::unique_ptr<RunFolder>> Open(const std::string& path, const Json& settings,
                                                 bool resume);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::string& path() const { return path_; }
  // Of earlier starts. Null: not finished.
  const ItemResult* Find(const std::string& suite, const std::string& id) const;
  size_t num_found() const { return items_.size(); }

  // One line, whole or not at all for whoever reads the file later. Errors: kIo,
  // kResourceExhausted.
  Status Append(const ItemResult& item);
  // A file of the folder (results.json, report.html), replaced whole.
  Status Write(const std::string& name, const std::string& content) const;

 private:
  RunFolder(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
  std::map<std::pair<std::string, std::string>, ItemResult> items_;
  std::mutex mutex_;
};

// A run as it lies on disk, to be compared or read.
struct StoredRun {
  Json settings;
  Json results;  // null: the run was never finished
  std::vector<ItemResult> items;
};
// Errors: kNotFound, kCorrupt naming the file.
Result<StoredRun> ReadRun(const std::string& path);

// items.jsonl: a last line without an end is left out (`num_good_bytes` says where it begins), one
// in the middle that is no item is kCorrupt. Not there: none.
Result<std::vector<ItemResult>> ReadItems(const std::string& path, size_t* num_good_bytes);

}  // namespace hearth::eval
