#include "training/curate/near_duplicates.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace hearth::forge {
namespace {

// Texts of which many are altered copies of others: the true pairs are found by brute force.
class NearDuplicates : public testing::Test {
 protected:
  static std::vector<ShingleSet> MakeSets(int originals, int copies, size_t size, unsigned seed) {
    std::mt19937_64 random(seed);
    std::vector<ShingleSet> sets;
    for (int i = 0; i < originals; ++i) {
      ShingleSet original;
      for (size_t k = 0; k < size; ++k) original.push_back(random());
      for (int copy = 0; copy <= copies; ++copy) {
        ShingleSet altered = original;
        const size_t changes = copy == 0 ? 0 : random() % (size / 3);
        for (size_t k = 0; k < changes; ++k) altered[random() % size] = random();
        std::ranges::sort(altered);
        sets.push_back(altered);
      }
    }
    std::ranges::shuffle(sets, random);
    return sets;
  }

  static BandIndex::Found Find(const std::vector<ShingleSet>& sets, int threads, bool all_pairs) {
    BandIndex index;
    for (const ShingleSet& set : sets) index.Add(HashBands(MinHash(set)));
    ThreadPool pool(threads);
    BandIndex::Options options;
    options.all_pairs = all_pairs;
    return index.Find([](uint32_t) { return false; }, [&](uint32_t row) { return sets[row]; }, pool,
                      options);
  }
};

TEST_F(NearDuplicates, FindsAlmostEveryPairAndNoFalseOne) {
  const std::vector<ShingleSet> sets = MakeSets(80, 5, 120, 3);
  std::set<std::pair<uint32_t, uint32_t>> truth;
  for (uint32_t b = 0; b < sets.size(); ++b)
    for (uint32_t a = 0; a < b; ++a)
      if (Jaccard(sets[a], sets[b]) >= 0.8) truth.emplace(a, b);
  ASSERT_GT(truth.size(), 150U);
  const BandIndex::Found found = Find(sets, 2, /*all_pairs=*/true);
  for (const SimilarPair& pair : found.pairs) {
    EXPECT_TRUE(truth.contains({pair.a, pair.b}));
    EXPECT_FLOAT_EQ(pair.similarity, static_cast<float>(Jaccard(sets[pair.a], sets[pair.b])));
  }
  // Theory: at least 94.7% of the pairs at 0.8, more above.
  EXPECT_GE(static_cast<double>(found.pairs.size()), 0.95 * static_cast<double>(truth.size()));
}

TEST_F(NearDuplicates, ResultDoesNotDependOnThreads) {
  const std::vector<ShingleSet> sets = MakeSets(80, 12, 60, 4);
  const BandIndex::Found one = Find(sets, 1, false);
  for (const int threads : {2, 3, 7}) {
    const BandIndex::Found many = Find(sets, threads, false);
    EXPECT_EQ(one.pairs, many.pairs);
    EXPECT_EQ(one.statistics.compared, many.statistics.compared);
    for (uint32_t row = 0; row < sets.size(); ++row)
      EXPECT_EQ(one.clusters.Root(row), many.clusters.Root(row));
  }
}

// Pairs that are together already need no comparing: the clusters are the same without them.
TEST_F(NearDuplicates, ClustersAreThoseOfAllPairs) {
  const std::vector<ShingleSet> sets = MakeSets(40, 20, 60, 5);
  const BandIndex::Found some = Find(sets, 2, false), all = Find(sets, 2, true);
  EXPECT_LT(some.statistics.compared, all.statistics.compared);
  for (uint32_t row = 0; row < sets.size(); ++row)
    EXPECT_EQ(some.clusters.Root(row), all.clusters.Root(row));
}

// A million equal bands must not become half a billion comparisons.
TEST_F(NearDuplicates, ALongRunOfUnlikeRowsIsBounded) {
  constexpr uint32_t kRows = 3000;
  BandIndex index;
  for (uint32_t row = 0; row < kRows; ++row) {
    BandHashes hashes;
    for (size_t band = 0; band < kNumBands; ++band)
      hashes[band] = band == 0 ? 7 : static_cast<uint32_t>(row * kNumBands + band);
    index.Add(hashes);
  }
  ThreadPool pool(2);
  const BandIndex::Found found =
      index.Find([](uint32_t) { return false; },
                 [](uint32_t row) { return ShingleSet{row + uint64_t{1}}; }, pool, {});
  EXPECT_TRUE(found.pairs.empty());
  EXPECT_LE(found.statistics.compared, int64_t{kRows} * static_cast<int64_t>(BandIndex::kMaxCompared));
  EXPECT_EQ(found.statistics.compared + found.statistics.passed_over, int64_t{kRows} * (kRows - 1) / 2);
}

TEST_F(NearDuplicates, ExcludedRowsTakeNoPart) {
  const std::vector<ShingleSet> sets(4, ShingleSet{1, 2, 3});
  BandIndex index;
  for (const ShingleSet& set : sets) index.Add(HashBands(MinHash(set)));
  ThreadPool pool(1);
  const BandIndex::Found found = index.Find([](uint32_t row) { return row % 2 == 1; },
                                            [&](uint32_t row) { return sets[row]; }, pool, {});
  ASSERT_EQ(found.pairs.size(), 1U);
  EXPECT_EQ(found.pairs[0].a, 0U);
  EXPECT_EQ(found.pairs[0].b, 2U);
}

}  // namespace
}  // namespace hearth::forge
