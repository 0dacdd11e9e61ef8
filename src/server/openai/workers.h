#pragma once
// A few threads for what would hold up the I/O thread: parsing bodies, templates, tokenising,
// embedding. Threads: every method is safe from many threads.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace hearth::openai {

class Workers {
 public:
  Workers(int num_threads, size_t max_queued);
  // Runs what is queued, then joins.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // False when the queue is full. `task` must not throw.
  bool Submit(std::function<void()> task);

 private:
  void Loop();

  size_t max_queued_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace hearth::openai
