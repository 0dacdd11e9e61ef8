#include "eval/runs/runner.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

namespace hearth::eval {

Result<std::vector<ItemResult>> RunSuite(const Suite& suite, Answerer& model, RunFolder* folder,
                                         const RunnerOptions& options) {
  const size_t size = suite.size();
  std::vector<ItemResult> results(size);
  std::vector<size_t> todo;
  for (size_t item = 0; item < size; ++item) {
    const ItemResult* done =
        folder == nullptr ? nullptr : folder->Find(suite.info().name, suite.id(item));
    if (done != nullptr) {
      results[item] = *done;
    } else {
      todo.push_back(item);
    }
  }

  std::mutex mutex;  // of what follows
  size_t num_done = size - todo.size();
  std::optional<Error> error;
  std::atomic<size_t> next = 0;
  if (options.on_progress) options.on_progress(num_done, size);
  const auto work = [&] {
    while (!(options.stop && options.stop())) {
      {
        const std::lock_guard lock(mutex);
        if (error) return;
      }
      const size_t index = next++;
      if (index >= todo.size()) return;
      Result<ItemResult> result = suite.Run(todo[index], model);
      const Status kept = result && folder != nullptr ? folder->Append(*result) : Status();
      const std::lock_guard lock(mutex);
      if (!result || !kept) {
        if (!error) error = result ? kept.error() : result.error();
        return;
      }
      results[todo[index]] = std::move(*result);
      ++num_done;
      if (options.on_progress) options.on_progress(num_done, size);
    }
  };
  int num_threads = std::max(1, options.parallel);
  if (suite.info().max_parallel > 0) num_threads = std::min(num_threads, suite.info().max_parallel);
  num_threads = static_cast<int>(std::min<size_t>(static_cast<size_t>(num_threads), todo.size()));
  std::vector<std::thread> threads;
  for (int i = 0; i < num_threads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();

  if (num_done < size) {
    if (error) return tl::unexpected(*error);
    return MakeError(ErrorCode::kCancelled, "stopped");
  }
  return results;
}

}  // namespace hearth::eval
