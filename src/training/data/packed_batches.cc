#include "training/data/packed_batches.h"

#include <cmath>
#include <string>
#include <utility>

#include "training/data/packing.h"

namespace hearth::forge {
namespace {

tl::unexpected<Error> Wrong(const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, what);
}

// How often an epoch shows a row.
int64_t CopiesOf(int64_t row, double weight, uint64_t seed) {
  const double whole = std::floor(weight);
  const std::string key = std::to_string(row);
  const double chance = static_cast<double>(HashBytes(key, seed) >> 11) * 0x1p-53;
  return static_cast<int64_t>(whole) + (chance < weight - whole ? 1 : 0);
}

// In order, a new bin whenever the next row does not fit.
std::vector<std::vector<int64_t>> PackInOrder(const std::vector<int32_t>& lengths,
                                              int64_t capacity) {
  std::vector<std::vector<int64_t>> bins;
  int64_t room = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (bins.empty() || lengths[i] > room) {
      bins.emplace_back();
      room = capacity;
    }
    bins.back().push_back(static_cast<int64_t>(i));
    room -= lengths[i];
  }
  return bins;
}

}  // namespace

Result<std::unique_ptr<PackedBatches>> PackedBatches::Make(std::shared_ptr<const TokenStore> store,
                                                           const PackingOptions& options) {
  if (options.num_shards < 1 || options.shard < 0 || options.shard >= options.num_shards)
    return Wrong("shard " + std::to_string(options.shard) + " of " +
                 std::to_string(options.num_shards));
  if (options.window < 1) return Wrong("a window of " + std::to_string(options.window) + " rows");
  constexpr double kMaxWeight = 1000;
  for (const double weight : options.weights) {
    if (!(weight >= 0 && weight <= kMaxWeight))
      return Wrong("a weight of " + std::to_string(weight) + " is not from 0 to 1000");
  }
  std::vector<int64_t> shown;
  for (int64_t row = 0; row < store->num_rows(); ++row) {
    if (store->row_tokens(row) > options.batch_tokens)
      return Wrong("a row of " + std::to_string(store->row_tokens(row)) +
                   " tokens does not fit into a batch of " + std::to_string(options.batch_tokens));
    const auto source = static_cast<size_t>(store->row_source(row));
    const double weight = source < options.weights.size() ? options.weights[source] : 1.0;
    for (int64_t copy = CopiesOf(row, weight, options.seed); copy > 0; --copy) shown.push_back(row);
  }
  if (shown.empty()) return Wrong("there are no rows to make batches of");

  std::unique_ptr<PackedBatches> source(new PackedBatches(std::move(store), options));
  if (options.shuffle) {
    std::vector<int64_t> shuffled;
    shuffled.reserve(shown.size());
    for (const int64_t place :
         ShuffledOrder(static_cast<int64_t>(shown.size()), HashBytes("rows", options.seed)))
      shuffled.push_back(shown[static_cast<size_t>(place)]);
    shown = std::move(shuffled);
  }
  std::vector<int32_t> lengths;
  lengths.reserve(shown.size());
  for (const int64_t row : shown) {
    lengths.push_back(static_cast<int32_t>(source->store_->row_tokens(row)));
    source->tokens_per_epoch_ += lengths.back();
  }
  const auto bins = options.shuffle
                        ? PackFirstFitDecreasing(lengths, options.batch_tokens, options.window)
                        : PackInOrder(lengths, options.batch_tokens);
  const auto num_batches = static_cast<int64_t>(bins.size());
  source->batches_per_epoch_ = num_batches / options.num_shards;
  if (source->batches_per_epoch_ == 0)
    return Wrong("the data makes " + std::to_string(num_batches) + " batches of " +
                 std::to_string(options.batch_tokens) + " tokens, fewer than the " +
                 std::to_string(options.num_shards) + " processes");
  for (const std::vector<int64_t>& bin : bins) {
    source->batch_begin_.push_back(static_cast<int64_t>(source->rows_.size()));
    for (const int64_t place : bin) source->rows_.push_back(shown[static_cast<size_t>(place)]);
  }
  source->batch_begin_.push_back(static_cast<int64_t>(source->rows_.size()));
  return source;
}

double PackedBatches::fill() const {
  return static_cast<double>(tokens_per_epoch_) / (static_cast<double>(batch_begin_.size() - 1) *
                                                   static_cast<double>(options_.batch_tokens));
}

Result<Batch> PackedBatches::At(int64_t index) {
  if (index < 0) return Wrong("batch " + std::to_string(index));
  const int64_t epoch = index / batches_per_epoch_;
  if (epoch != order_epoch_) {
    const auto num_batches = static_cast<int64_t>(batch_begin_.size()) - 1;
    if (options_.shuffle) {
      order_ =
          ShuffledOrder(num_batches, HashBytes("epoch " + std::to_string(epoch), options_.seed));
    } else if (order_.empty()) {
      for (int64_t i = 0; i < num_batches; ++i) order_.push_back(i);
    }
    order_epoch_ = epoch;
  }
  const int64_t place = index % batches_per_epoch_ * options_.num_shards + options_.shard;
  const auto chosen = static_cast<size_t>(order_[static_cast<size_t>(place)]);
  Batch batch;
  for (int64_t i = batch_begin_[chosen]; i < batch_begin_[chosen + 1]; ++i)
    AppendRow(rows_[static_cast<size_t>(i)], batch);
  return batch;
}

void PackedBatches::AppendRow(int64_t row, Batch& batch) const {
  const TokenizedRow tokens = store_->Row(row);
  const size_t size = tokens.tokens.size();
  batch.segment_lengths.push_back(static_cast<int32_t>(size));
  for (size_t i = 0; i < size; ++i) {
    const bool is_last = i + 1 == size;
    batch.tokens.push_back(tokens.tokens[i]);
    batch.targets.push_back(is_last ? tokens.tokens[i] : tokens.tokens[i + 1]);
    batch.weights.push_back(is_last ? 0.0f : static_cast<float>(tokens.learned[i + 1]));
    if (store_->has_adapter_marks())
      batch.adapter_mask.push_back(static_cast<int64_t>(i) >= tokens.adapter_begin ? 1 : 0);
  }
}

}  // namespace hearth::forge
