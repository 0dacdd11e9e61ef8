#pragma once
// A team of threads that run the same function together (SPMD), with barriers inside it: one
// parallel region per pass through a model instead of one per operation. Waiting spins for a
// bounded time, then sleeps on a futex.
// Threads: one Run at a time, from one thread.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace hearth {

class ThreadPool;

// One thread's view of a running team.
class Worker {
 public:
  int index() const { return index_; }
  int count() const;

  // All workers wait for each other; what any wrote before is seen by all after.
  void Barrier();

  // Splits [0, count) into chunks that the workers take as they come: body(begin, end). All workers
  // must call it with the same arguments, and a Barrier must stand between two calls.
  template <typename Body>
  void ForEach(int64_t count, int64_t chunk, Body&& body);

  // The same where neighbours in [0, count) are neighbours in memory that is read ahead: each
  // worker first takes a piece of its own, three quarters of its fair share.
  template <typename Body>
  void ForEachInOrder(int64_t count, int64_t chunk, Body&& body);

 private:
  friend class ThreadPool;
  Worker(ThreadPool* pool, int index) : pool_(pool), index_(index) {}
  ThreadPool* pool_;
  int index_;
};

class ThreadPool {
 public:
  // `num_threads` counts the calling thread; 0 means one per core.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return num_threads_; }
  // Runs `body` on every thread of the team, the caller among them, and returns when all are
  // through.
  void Run(const std::function<void(Worker&)>& body);

 private:
  friend class Worker;
  void Loop(int index);
  void WaitAtBarrier();

  int num_threads_;
  std::vector<std::thread> threads_;
  const std::function<void(Worker&)>* body_ = nullptr;
  bool stopping_ = false;
  alignas(64) std::atomic<uint32_t> region_{0};  // counts Run calls; workers wait for it to change
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};  // counts barriers passed
  // first chunk of ForEach not yet taken; reset by each barrier
  alignas(64) std::atomic<int64_t> next_{0};
};

template <typename Body>
void Worker::ForEachInOrder(int64_t count, int64_t chunk, Body&& body) {
  const int64_t own = count * 3 / (4 * pool_->num_threads_);
  if (own > 0) body(index_ * own, (index_ + 1) * own);
  const int64_t taken = own * pool_->num_threads_;
  ForEach(count - taken, chunk,
          [&](int64_t begin, int64_t end) { body(taken + begin, taken + end); });
}

template <typename Body>
void Worker::ForEach(int64_t count, int64_t chunk, Body&& body) {
  for (;;) {
    const int64_t begin = pool_->next_.fetch_add(chunk, std::memory_order_relaxed);
    if (begin >= count) return;
    body(begin, std::min(begin + chunk, count));
  }
}

}  // namespace hearth
