#pragma once
// Reads a source's batches ahead of whoever needs them, in the order given, on a thread of its own.
// Threads: Next from one thread.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/result.h"
#include "training/data/batch.h"

namespace hearth::forge {

class BatchReader {
 public:
  // `index_at(k)` is the number of the k-th batch wanted, k from 0; nothing once it gives nullopt.
  // The source is asked on the thread until this object is gone.
  BatchReader(BatchSource& source, std::function<std::optional<int64_t>(int64_t)> index_at,
              size_t most_ahead);
  ~BatchReader();
  BatchReader(const BatchReader&) = delete;
  BatchReader& operator=(const BatchReader&) = delete;

  // The next one; waits for it. Requires: not behind the end, nor behind an error.
  Result<Batch> Next();
  // How long Next has waited in all: a run that starves for data.
  double waited_seconds() const { return waited_seconds_; }

 private:
  void Run();

  BatchSource& source_;
  std::function<std::optional<int64_t>(int64_t)> index_at_;
  size_t most_ahead_;
  double waited_seconds_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Result<Batch>> ready_;
  bool stop_ = false;
  std::thread thread_;  // last: begins when the rest is there
};

}  // namespace hearth::forge
