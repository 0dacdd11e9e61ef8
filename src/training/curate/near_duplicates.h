#pragma once
// Pairs of rows that are near-duplicates: rows that share a band of their MinHash signatures are
// candidates, candidates are compared by their true shingle sets, similar ones are joined.
//
// Memory: 64 bytes a row for the bands, 4 for the clusters, 8 while a band is sorted. In a run of
// rows that share a band, a row is compared with at most kMaxCompared earlier ones, so that time
// does not grow with the square of a run; how many were passed over is counted.
//
// The result depends on the rows and their order alone, not on the number of threads.
// Threads: one at a time; `shingles_of` is called from the pool's.

#include <cstdint>
#include <functional>
#include <vector>

#include "base/thread_pool.h"
#include "training/curate/minhash.h"
#include "training/curate/union_find.h"

namespace hearth::forge {

struct SimilarPair {
  uint32_t a = 0, b = 0;  // a < b
  float similarity = 0;
  auto operator<=>(const SimilarPair&) const = default;
};

struct NearDuplicateStatistics {
  int64_t compared = 0;     // candidate pairs whose shingle sets were compared
  int64_t similar = 0;      // of them
  int64_t passed_over = 0;  // candidate pairs beyond kMaxCompared
};

class BandIndex {
 public:
  static constexpr size_t kMaxCompared = 256;

  // Rows are numbered as they are added.
  void Add(const BandHashes& hashes) {
    for (size_t band = 0; band < kNumBands; ++band) bands_[band].push_back(hashes[band]);
  }
  uint32_t size() const { return static_cast<uint32_t>(bands_[0].size()); }

  struct Options {
    double threshold = 0.8;
    // Also compare pairs that are in one cluster already, so that `pairs` is all there are.
    bool all_pairs = false;
    std::function<bool(double)> on_progress;  // 0 to 1; false stops
  };
  struct Found {
    UnionFind clusters{0};
    std::vector<SimilarPair> pairs;  // those that joined clusters; with all_pairs all, sorted
    NearDuplicateStatistics statistics;
    bool stopped = false;
  };
  // Consumes the bands. Rows for which `excluded` says so take no part.
  Found Find(const std::function<bool(uint32_t)>& excluded,
             const std::function<ShingleSet(uint32_t)>& shingles_of, ThreadPool& pool,
             const Options& options);

 private:
  std::array<std::vector<uint32_t>, kNumBands> bands_;
};

}  // namespace hearth::forge
