#include "base/thread_pool.h"

namespace hearth {
namespace {

// A pause takes 20 to 140 cycles, so this is 10 to 100 microseconds: longer than any wait between
// stages on an idle machine, short enough not to burn a core that a neighbour holds.
constexpr int kSpins = 2000;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void WaitWhileEqual(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int num_threads)
    : num_threads_(num_threads > 0
                       ? num_threads
                       : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {
  for (int index = 1; index < num_threads_; ++index)
    threads_.emplace_back([this, index] { Loop(index); });
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  region_.fetch_add(1, std::memory_order_release);
  region_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Run(const std::function<void(Worker&)>& body) {
  body_ = &body;
  next_.store(0, std::memory_order_relaxed);
  region_.fetch_add(1, std::memory_order_release);
  region_.notify_all();
  Worker worker(this, 0);
  body(worker);
  WaitAtBarrier();  // the region ends when every worker is through
}

void ThreadPool::Loop(int index) {
  uint32_t seen = 0;
  for (;;) {
    WaitWhileEqual(region_, seen);
    ++seen;
    if (stopping_) return;
    Worker worker(this, index);
    (*body_)(worker);
    WaitAtBarrier();
  }
}

void ThreadPool::WaitAtBarrier() {
  if (num_threads_ == 1) {
    next_.store(0, std::memory_order_relaxed);
    return;
  }
  const uint32_t phase = phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_threads_) {
    arrived_.store(0, std::memory_order_relaxed);
    next_.store(0, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
    return;
  }
  WaitWhileEqual(phase_, phase);
}

int Worker::count() const { return pool_->num_threads_; }

void Worker::Barrier() { pool_->WaitAtBarrier(); }

}  // namespace hearth
