#include "runtime/engine/machine_limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <vector>

#include "runtime/kernels/kernels.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Memory in huge pages where the system grants them, as images of weights lie in: a sweep over
// small pages is slower, and no limit for them.
class HugeFloats {
 public:
  explicit HugeFloats(size_t count)
      : floats_(static_cast<float*>(::operator new(count * sizeof(float), kAlign))) {
    madvise(floats_.get(), count * sizeof(float), MADV_HUGEPAGE);  // a wish
    std::fill_n(floats_.get(), count, 1.0f);  // written, so that every page is its own
  }
  const float* data() const { return floats_.get(); }

 private:
  static constexpr std::align_val_t kAlign{size_t{2} << 20};
  struct Delete {
    void operator()(float* floats) const { ::operator delete(floats, kAlign); }
  };
  std::unique_ptr<float, Delete> floats_;
};

// The best of several sweeps: other work on the machine can only slow one down.
double ReadBandwidth(ThreadPool& pool, int64_t buffer_bytes) {
  constexpr int64_t kChunkFloats = 1 << 18;
  const int64_t num_floats = buffer_bytes / static_cast<int64_t>(sizeof(float));
  const HugeFloats buffer(static_cast<size_t>(num_floats));
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
