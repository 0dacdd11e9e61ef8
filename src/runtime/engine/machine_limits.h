#pragma once
// What this machine can do at best, measured: the figures every speed stands beside.
// Threads: runs on the team given to it.

#include <cstdint>

#include "base/thread_pool.h"

namespace hearth {

struct MachineLimits {
  double read_gbps = 0;   // 10^9 bytes a second that all threads together read from memory
  double int8_gmacs = 0;  // 10^9 int8 multiply-adds a second of all threads together, in registers
};

// Takes about half a second. `buffer_bytes` should be well above the last-level cache.
MachineLimits MeasureMachineLimits(ThreadPool& pool, int64_t buffer_bytes = int64_t{512} << 20);

}  // namespace hearth
