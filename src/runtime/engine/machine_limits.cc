#include "runtime/engine/machine_limits.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "runtime/kernels/kernels.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The best of several sweeps: other work on the machine can only slow one down.
double ReadBandwidth(ThreadPool& pool, int64_t buffer_bytes) {
  constexpr int64_t kChunkFloats = 1 << 18;
  const int64_t num_floats = buffer_bytes / static_cast<int64_t>(sizeof(float));
  // written, so that every page is its own
  std::vector<float> buffer(static_cast<size_t>(num_floats), 1.0f);
  std::vector<float> sums(static_cast<size_t>(pool.size()) * 16);  // a cache line each
  double best_seconds = 1e9;
  for (int sweep = 0; sweep < 4; ++sweep) {
    const Clock::time_point start = Clock::now();
    pool.Run([&](Worker& worker) {
      worker.ForEach(num_floats, kChunkFloats, [&](int64_t begin, int64_t end) {
        const float* chunk = buffer.data() + begin;
        sums[static_cast<size_t>(worker.index()) * 16] +=
            Kernels().dot(chunk, chunk, static_cast<int>(end - begin));
      });
    });
    best_seconds = std::min(best_seconds, SecondsSince(start));
  }
  return static_cast<double>(buffer_bytes) / best_seconds * 1e-9;
}

double Int8Peak(ThreadPool& pool) {
  constexpr int64_t kRounds = 2'000'000;
  double best = 0;
  for (int repeat = 0; repeat < 3; ++repeat) {
    int64_t macs = 0;
    const Clock::time_point start = Clock::now();
    pool.Run([&](Worker& worker) {
      const int64_t done = Kernels().int8_peak(kRounds);
      if (worker.index() == 0) macs = done * worker.count();
    });
    best = std::max(best, static_cast<double>(macs) / SecondsSince(start) * 1e-9);
  }
  return best;
}

}  // namespace

MachineLimits MeasureMachineLimits(ThreadPool& pool, int64_t buffer_bytes) {
  return {ReadBandwidth(pool, buffer_bytes), Int8Peak(pool)};
}

}  // namespace hearth
