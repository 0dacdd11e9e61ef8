// Asking for memory ahead of its use. Not __builtin_prefetch: GCC 12 takes a function that does
// nothing else for one without effect and drops the calls, silently. For the kernels' sources.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "runtime/kernels/kernels.h"

namespace {

// Into the first-level cache.
inline void PrefetchNear(const void* p) {
#if defined(__x86_64__)
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(p)));
#elif defined(__aarch64__)
  asm volatile("prfm pldl1keep, %0" : : "Q"(*static_cast<const char*>(p)));
#else
  (void)p;
#endif
}

// For a line that is written soon.
inline void PrefetchToWrite(const void* p) { __builtin_prefetch(p, 1); }

// Into the second-level cache: leaves the few fill buffers of the first one free.
inline void PrefetchFar(const void* p) {
#if defined(__x86_64__)
  asm volatile("prefetcht1 %0" : : "m"(*static_cast<const char*>(p)));
#elif defined(__aarch64__)
  asm volatile("prfm pldl2keep, %0" : : "Q"(*static_cast<const char*>(p)));
#else
  (void)p;
#endif
}

// For the block of kBytes at `block` of a strip: what lies a small distance on nearer, what lies a
// large one on near. The processor's own prefetchers stop at each 4 KB page. No loss in cache.
template <int kBytes>
inline void PrefetchStrip(const void* block, hearth::PrefetchDistance distance) {
  const auto* bytes = static_cast<const char*>(block);
#pragma GCC unroll 16
  for (int line = 0; line < kBytes; line += 64) {
    PrefetchNear(bytes + distance.near + line);
    PrefetchFar(bytes + distance.far + line);
  }
}

// What is read next, asked for line by line in the steps of what runs now.
class Ahead {
 public:
  Ahead(const void* bytes, size_t size, int64_t num_steps)
      : next_(static_cast<const char*>(bytes)), end_(next_ + size) {
    const auto lines = static_cast<int64_t>((size + 63) / 64);
    lines_a_step_ = static_cast<int>((lines + num_steps - 1) / num_steps);
  }
  void Step() {
    for (int i = 0; i < lines_a_step_ && next_ < end_; ++i, next_ += 64) PrefetchFar(next_);
  }

 private:
  const char* next_;
  const char* end_;
  int lines_a_step_;
};

}  // namespace
