#pragma once
// A TokenStore's rows as batches: packed end to end without padding and without leakage
// (segment_lengths), shuffled anew each epoch, divided among processes.
//
// Which rows share a batch is settled once, by first-fit-decreasing within windows of shuffled
// rows; an epoch shuffles the batches. So an epoch has the same number of batches each time, and
// batch `index` is a pure function of the store, the options and the index.

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "training/data/batch.h"
#include "training/data/token_store.h"

namespace hearth::forge {

struct PackingOptions {
  int64_t batch_tokens = 8192;  // most of a batch
  int64_t window = 16384;       // rows packed together; more fills better and costs memory
  bool shuffle = true;  // false: the rows' own order, one after the other, the same each epoch
  uint64_t seed = 0;
  // How often an epoch shows the rows of each file, by row_source; missing ones once. 2.5 shows
  // every row twice and half of them, chosen by the seed, once more; 0.1 every tenth.
  std::vector<double> weights;
  // Processes that divide the batches among them: batch i of an epoch is shard i % num_shards's.
  int64_t num_shards = 1;
  int64_t shard = 0;
};

class PackedBatches final : public BatchSource {
 public:
  // Errors: kInvalidArgument for options that make no sense, a row longer than batch_tokens, and
  // fewer batches than shards.
  static Result<std::unique_ptr<PackedBatches>> Make(std::shared_ptr<const TokenStore> store,
                                                     const PackingOptions& options);

  int64_t batches_per_epoch() const override { return batches_per_epoch_; }
  Result<Batch> At(int64_t index) override;

  // All shards' tokens of an epoch, those that learn, and the share of the batches' room that
  // they fill.
  int64_t tokens_per_epoch() const { return tokens_per_epoch_; }
  double fill() const;

 private:
  PackedBatches(std::shared_ptr<const TokenStore> store, const PackingOptions& options)
      : store_(std::move(store)), options_(options) {}
  void AppendRow(int64_t row, Batch& batch) const;

  std::shared_ptr<const TokenStore> store_;
  PackingOptions options_;
  std::vector<int64_t> rows_;         // of all batches, one after the other
  std::vector<int64_t> batch_begin_;  // [num_batches + 1] in rows_
  int64_t batches_per_epoch_ = 0;
  int64_t tokens_per_epoch_ = 0;
  int64_t order_epoch_ = -1;  // the epoch that order_ is of
  std::vector<int64_t> order_;
};

}  // namespace hearth::forge
