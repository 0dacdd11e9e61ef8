#include "training/curate/near_duplicates.h"

#include <algorithm>
#include <deque>
#include <span>

namespace hearth::forge {
namespace {

// Rows of the runs that are worked on at a time.
constexpr size_t kBatchRows = 1 << 14;

struct Run {
  std::span<const uint64_t> entries;  // hash in the upper half, row in the lower
  std::vector<SimilarPair> pairs;
  NearDuplicateStatistics statistics;
};

uint32_t RowOf(uint64_t entry) { return static_cast<uint32_t>(entry); }
uint32_t HashOf(uint64_t entry) { return static_cast<uint32_t>(entry >> 32); }

// Compares the rows of one run, each with those before it that it is not joined with, nearest
// first. Joins made by other runs of the batch are not seen: so the order of runs does not matter.
void CompareRun(Run& run, const UnionFind& clusters, const BandIndex::Options& options,
                const std::function<ShingleSet(uint32_t)>& shingles_of) {
  struct Member {
    uint32_t row;
    size_t cluster;
    ShingleSet shingles;
    bool loaded = false;
  };
  std::deque<Member> window;
  UnionFind local(static_cast<uint32_t>(run.entries.size()));
  std::vector<std::pair<uint32_t, uint32_t>> first_of;  // cluster's root -> its first member here
  first_of.reserve(run.entries.size());
  for (size_t i = 0; i < run.entries.size(); ++i)
    first_of.emplace_back(clusters.Root(RowOf(run.entries[i])), static_cast<uint32_t>(i));
  std::ranges::sort(first_of);
  for (size_t i = 1; i < first_of.size(); ++i) {
    if (first_of[i].first == first_of[i - 1].first)
      local.Join(first_of[i].second, first_of[i - 1].second);
  }
  const auto load = [&](Member& member) {
    if (!member.loaded) member.shingles = shingles_of(member.row);
    member.loaded = true;
  };
  for (size_t i = 0; i < run.entries.size(); ++i) {
    Member member{RowOf(run.entries[i]), i, {}, false};
    size_t compared = 0;
    for (auto other = window.rbegin(); other != window.rend(); ++other) {
      if (!options.all_pairs && local.Root(static_cast<uint32_t>(member.cluster)) ==
                                    local.Root(static_cast<uint32_t>(other->cluster)))
        continue;
      load(member);
      load(*other);
      ++compared;
      const double similarity = Jaccard(member.shingles, other->shingles);
      if (similarity < options.threshold) continue;
      local.Join(static_cast<uint32_t>(member.cluster), static_cast<uint32_t>(other->cluster));
      run.pairs.push_back({other->row, member.row, static_cast<float>(similarity)});
    }
    run.statistics.compared += static_cast<int64_t>(compared);
    run.statistics.similar = static_cast<int64_t>(run.pairs.size());
    run.statistics.passed_over += static_cast<int64_t>(i - window.size());
    window.push_back(std::move(member));
    if (window.size() > BandIndex::kMaxCompared) window.pop_front();
  }
}

}  // namespace

BandIndex::Found BandIndex::Find(const std::function<bool(uint32_t)>& excluded,
                                 const std::function<ShingleSet(uint32_t)>& shingles_of,
                                 ThreadPool& pool, const Options& options) {
  Found found;
  const uint32_t count = size();
  found.clusters = UnionFind(count);
  std::vector<uint64_t> entries;
  std::vector<Run> batch;
  const auto work_off = [&] {
    pool.Run([&](Worker& worker) {
      worker.ForEach(static_cast<int64_t>(batch.size()), 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          CompareRun(batch[static_cast<size_t>(i)], found.clusters, options, shingles_of);
      });
    });
    for (const Run& run : batch) {
      found.statistics.compared += run.statistics.compared;
      found.statistics.similar += run.statistics.similar;
      found.statistics.passed_over += run.statistics.passed_over;
      for (const SimilarPair& pair : run.pairs) {
        const bool joined = found.clusters.Join(pair.a, pair.b);
        if (joined || options.all_pairs) found.pairs.push_back(pair);
      }
    }
    batch.clear();
  };
  for (size_t band = 0; band < kNumBands; ++band) {
    entries.clear();
    entries.reserve(count);
    for (uint32_t row = 0; row < count; ++row)
      if (!excluded(row)) entries.push_back(uint64_t{bands_[band][row]} << 32 | row);
    std::vector<uint32_t>().swap(bands_[band]);
    std::ranges::sort(entries);
    size_t rows = 0;
    for (size_t begin = 0; begin < entries.size();) {
      size_t end = begin + 1;
      while (end < entries.size() && HashOf(entries[end]) == HashOf(entries[begin])) ++end;
      if (end - begin > 1) {
        batch.push_back({std::span(entries).subspan(begin, end - begin), {}, {}});
        rows += end - begin;
      }
      begin = end;
      if (rows >= kBatchRows || begin == entries.size()) {
        work_off();
        rows = 0;
        const double within = static_cast<double>(begin) / static_cast<double>(entries.size());
        if (options.on_progress &&
            !options.on_progress((static_cast<double>(band) + within) / kNumBands)) {
          found.stopped = true;
          return found;
        }
      }
    }
  }
  std::ranges::sort(found.pairs);
  if (options.all_pairs) {
    const auto rest = std::ranges::unique(found.pairs);
    found.pairs.erase(rest.begin(), rest.end());
  }
  return found;
}

}  // namespace hearth::forge
