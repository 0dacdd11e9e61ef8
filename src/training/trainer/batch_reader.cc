#include "training/trainer/batch_reader.h"

#include <chrono>
#include <utility>

namespace hearth::forge {

BatchReader::BatchReader(BatchSource& source,
                         std::function<std::optional<int64_t>(int64_t)> index_at, size_t most_ahead)
    : source_(source),
      index_at_(std::move(index_at)),
      most_ahead_(most_ahead),
      thread_([this] { Run(); }) {}

BatchReader::~BatchReader() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BatchReader::Run() {
  for (int64_t k = 0;; ++k) {
    const std::optional<int64_t> index = index_at_(k);
    if (!index) return;
    Result<Batch> batch = source_.At(*index);
    const bool failed = !batch.has_value();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return stop_ || ready_.size() < most_ahead_; });
    if (stop_) return;
    ready_.push_back(std::move(batch));
    changed_.notify_all();
    if (failed) return;
  }
}

Result<Batch> BatchReader::Next() {
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty(); });
  Result<Batch> batch = std::move(ready_.front());
  ready_.pop_front();
  changed_.notify_all();
  waited_seconds_ +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return batch;
}

}  // namespace hearth::forge
