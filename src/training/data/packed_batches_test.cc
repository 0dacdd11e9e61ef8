#include "training/data/packed_batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "training/data/packing.h"

namespace hearth::forge {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int32_t> SomeLengths(int count) {
  std::vector<int32_t> lengths;
  for (int i = 0; i < count; ++i)
    lengths.push_back(static_cast<int32_t>(1 + HashBytes(std::to_string(i)) % 100));
  return lengths;
}

// Rows whose tokens tell row and place: row * 1000 + place. Every other token is learned.
std::shared_ptr<const TokenStore> Store(const std::vector<int32_t>& lengths,
                                        int64_t adapter_begin = 0) {
  auto writer = TokenStoreWriter::Create(testing::TempDir());
  EXPECT_TRUE(writer);
  for (size_t row = 0; row < lengths.size(); ++row) {
    TokenizedRow tokens;
    for (int32_t place = 0; place < lengths[row]; ++place) {
      tokens.tokens.push_back(static_cast<int32_t>(row) * 1000 + place);
      tokens.learned.push_back(place % 2 == 1 ? 1 : 0);
    }
    tokens.adapter_begin = std::min<int64_t>(adapter_begin, lengths[row]);
    EXPECT_TRUE(writer->Append(tokens, static_cast<int32_t>(row % 2)));
  }
  auto store = writer->Finish();
  EXPECT_TRUE(store);
  return std::make_shared<const TokenStore>(std::move(*store));
}

std::unique_ptr<PackedBatches> Batches(std::shared_ptr<const TokenStore> store,
                                       const PackingOptions& options) {
  auto batches = PackedBatches::Make(std::move(store), options);
  EXPECT_TRUE(batches) << batches.error().message;
  return std::move(*batches);
}

TEST(Packing, EveryRowIsInOneBinWithinItsWindowAndBinsHold) {
  const std::vector<int32_t> lengths = SomeLengths(1000);
  for (const int64_t window : {7, 100, 5000}) {
    const auto bins = PackFirstFitDecreasing(lengths, 128, window);
    std::set<int64_t> seen;
    for (const auto& bin : bins) {
      int64_t total = 0;
      for (const int64_t row : bin) {
        EXPECT_TRUE(seen.insert(row).second);
        EXPECT_EQ(row / window, bin[0] / window);
        total += lengths[static_cast<size_t>(row)];
      }
      EXPECT_LE(total, 128);
    }
    EXPECT_EQ(seen.size(), lengths.size());
  }
}

TEST(Packing, FillsBinsAsFirstFitDecreasingDoes) {
  EXPECT_THAT(PackFirstFitDecreasing(std::vector<int32_t>{4, 8, 1, 4, 2, 1}, 10, 100),
              ElementsAre(ElementsAre(1, 4), ElementsAre(0, 3, 2, 5)));
  const std::vector<int32_t> lengths = SomeLengths(3000);
  const auto total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  const auto bins = PackFirstFitDecreasing(lengths, 256, 3000);
  EXPECT_LE(static_cast<double>(bins.size()), 1.02 * static_cast<double>(total) / 256 + 1);
}

TEST(Packing, AnOverlongRowIsAlone) {
  EXPECT_THAT(PackFirstFitDecreasing(std::vector<int32_t>{3, 12, 4}, 10, 100),
              ElementsAre(ElementsAre(1), ElementsAre(2, 0)));
}

TEST(Packing, ShufflesAreTheSameEverywhere) {
  // Written down once: a change would change every run that resumes.
  EXPECT_THAT(ShuffledOrder(8, 1), ElementsAre(3, 1, 4, 7, 2, 5, 0, 6));
  EXPECT_NE(ShuffledOrder(8, 1), ShuffledOrder(8, 2));
  EXPECT_EQ(HashBytes(std::string("hearth"), 3), HashBytes(std::string("hearth"), 3));
  EXPECT_NE(HashBytes(std::string("hearth"), 3), HashBytes(std::string("hearth"), 4));
}

TEST(PackedBatches, AnEpochShowsEveryRowOnceAndKeepsRowsApart) {
  const std::vector<int32_t> lengths = SomeLengths(300);
  const auto batches = Batches(Store(lengths), {.batch_tokens = 256, .window = 64, .seed = 5});
  std::map<int32_t, int32_t> seen;
  for (int64_t i = 0; i < batches->batches_per_epoch(); ++i) {
    const auto batch = batches->At(i);
    ASSERT_TRUE(batch);
    ASSERT_TRUE(CheckBatch(*batch, 300'000));
    EXPECT_LE(batch->num_tokens(), 256);
    EXPECT_TRUE(batch->adapter_mask.empty());
    size_t at = 0;
    for (const int32_t length : batch->segment_lengths) {
      const int32_t row = batch->tokens[at] / 1000;
      EXPECT_TRUE(seen.emplace(row, length).second);
      for (int32_t place = 0; place < length; ++place, ++at) {
        EXPECT_EQ(batch->tokens[at], row * 1000 + place);
        const bool last = place + 1 == length;
        EXPECT_EQ(batch->weights[at], !last && (place + 1) % 2 == 1 ? 1.0f : 0.0f);
        if (!last) {
          EXPECT_EQ(batch->targets[at], batch->tokens[at] + 1);
        }
      }
    }
  }
  ASSERT_EQ(seen.size(), lengths.size());
  for (const auto& [row, length] : seen) EXPECT_EQ(length, lengths[static_cast<size_t>(row)]);
  EXPECT_GT(batches->fill(), 0.95);
}

TEST(PackedBatches, ABatchIsAFunctionOfItsIndexAndEpochsDiffer) {
  const auto store = Store(SomeLengths(300));
  const PackingOptions options = {.batch_tokens = 256, .seed = 5};
  const auto forwards = Batches(store, options), backwards = Batches(store, options);
  const int64_t count = 3 * forwards->batches_per_epoch();
  std::vector<std::vector<int32_t>> there, back;
  for (int64_t i = 0; i < count; ++i) there.push_back(forwards->At(i)->tokens);
  for (int64_t i = count; i-- > 0;) back.push_back(backwards->At(i)->tokens);
  std::ranges::reverse(back);
  EXPECT_EQ(there, back);
  const auto epoch = [&](int64_t e) {
    const auto begin = there.begin() + e * forwards->batches_per_epoch();
    return std::vector(begin, begin + forwards->batches_per_epoch());
  };
  EXPECT_NE(epoch(0), epoch(1));
  EXPECT_TRUE(std::ranges::is_permutation(epoch(0), epoch(1)));
  EXPECT_NE(there[0], Batches(store, {.batch_tokens = 256, .seed = 6})->At(0)->tokens);
}

TEST(PackedBatches, ShardsDivideAnEpochEvenly) {
  const auto store = Store(SomeLengths(300));
  const auto whole = Batches(store, {.batch_tokens = 256, .seed = 5});
  std::vector<std::unique_ptr<PackedBatches>> shards;
  for (int64_t shard = 0; shard < 3; ++shard)
    shards.push_back(
        Batches(store, {.batch_tokens = 256, .seed = 5, .num_shards = 3, .shard = shard}));
  EXPECT_EQ(shards[0]->batches_per_epoch(), whole->batches_per_epoch() / 3);
  for (int64_t i = 0; i < 3 * shards[0]->batches_per_epoch(); ++i)
    EXPECT_EQ(shards[static_cast<size_t>(i % 3)]->At(i / 3)->tokens, whole->At(i)->tokens);
}

TEST(PackedBatches, WeightsRepeatAndThinOutFiles) {
  const std::vector<int32_t> lengths(2000, 4);  // files 0 and 1 by turns
  const auto batches =
      Batches(Store(lengths), {.batch_tokens = 64, .seed = 5, .weights = {2.5, 0.1}});
  std::map<int32_t, int> seen;
  for (int64_t i = 0; i < batches->batches_per_epoch(); ++i) {
    const Batch batch = batches->At(i).value();
    for (const int32_t token : batch.tokens) {
      if (token % 1000 == 0) ++seen[token / 1000];
    }
  }
  int first = 0, second = 0;
  for (const auto& [row, count] : seen) {
    (row % 2 == 0 ? first : second) += count;
    EXPECT_TRUE(row % 2 == 0 ? count == 2 || count == 3 : count == 1);
  }
  EXPECT_NEAR(first, 2500, 60);
  EXPECT_NEAR(second, 100, 40);
}

TEST(PackedBatches, InOrderWithoutShuffling) {
  const auto batches = Batches(Store({3, 4, 5, 2}), {.batch_tokens = 8, .shuffle = false});
  EXPECT_EQ(batches->batches_per_epoch(), 2);
  EXPECT_THAT(batches->At(0)->segment_lengths, ElementsAre(3, 4));
  EXPECT_THAT(batches->At(3)->segment_lengths, ElementsAre(5, 2));
}

TEST(PackedBatches, AdapterMasksBeginWhereTheRowsSay) {
  const auto batches = Batches(Store({3, 4}, 2), {.batch_tokens = 8, .shuffle = false});
  EXPECT_THAT(batches->At(0)->adapter_mask, ElementsAre(0, 0, 1, 0, 0, 1, 1));
}

TEST(PackedBatches, OptionsThatMakeNoSenseAreNamed) {
  const auto message = [](const PackingOptions& options) {
    auto batches = PackedBatches::Make(Store({3, 4}), options);
    return batches ? "" : batches.error().message;
  };
  EXPECT_THAT(message({.batch_tokens = 3}), HasSubstr("a row of 4 tokens"));
  EXPECT_THAT(message({.window = 0}), HasSubstr("window"));
  EXPECT_THAT(message({.weights = {-1}}), HasSubstr("weight of -1"));
  EXPECT_THAT(message({.weights = {0, 0}}), HasSubstr("no rows"));
  EXPECT_THAT(message({.num_shards = 2, .shard = 2}), HasSubstr("shard 2 of 2"));
  EXPECT_THAT(message({.num_shards = 2}), HasSubstr("fewer than the 2 processes"));
}

}  // namespace
}  // namespace hearth::forge
