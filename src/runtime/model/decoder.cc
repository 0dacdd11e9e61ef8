// The forward pass. One parallel region; a barrier ends each stage.

#include "runtime/model/decoder.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "runtime/ops/attention.h"
#include "runtime/quant/quant.h"

namespace hearth {

// What one Forward call works on, shared by all workers.
class Decoder::Pass {
 public:
  Pass(Decoder& decoder, std::span<const SequenceSlice> slices, KvCacheStorage& kv)
      : d_(decoder), h_(decoder.spec_.hparams), slices_(slices), kv_(kv) {
    const int group = h_.num_heads / h_.num_kv_heads;
    const int tokens_per_task = std::max(1, kMaxTileQueries / group);
    for (size_t s = 0; s < slices.size(); ++s) {
      const auto size = static_cast<int>(slices[s].tokens.size());
      for (int i = 0; i < size; ++i) {
        token_slice_.push_back(static_cast<int>(s));
        if (i >= size - slices[s].num_outputs)
          output_rows_.push_back(static_cast<int>(token_slice_.size()) - 1);
      }
      const int first_row = static_cast<int>(token_slice_.size()) - size;
      // No task spans two blocks: a block that is open for some of its tokens would be closed for
      // the others.
      for (int i = 0, step; i < size; i += step) {
        const int position = slices[s].start + i;
        step = std::min({tokens_per_task, size - i, kKvBlockTokens - position % kKvBlockTokens});
        tasks_.push_back({static_cast<int>(s), first_row + i, step, position});
      }
      OpenBlocks(slices[s]);
      slice_first_row_.push_back(first_row);
    }
    for (const AttentionTask& task : tasks_) {
      max_splits_ =
          std::max(max_splits_, (task.start + task.num_tokens - 1) / kAttentionSplitTokens + 1);
    }
    const size_t num_states = tasks_.size() * static_cast<size_t>(TilesPerTask() * max_splits_);
    if (SharesSplits(d_.pool_->size()) && d_.attention_states_.size() < num_states) {
      d_.attention_states_.resize(num_states);
    }
    num_tokens_ = static_cast<int>(token_slice_.size());
    HEARTH_CHECK(num_tokens_ > 0 && num_tokens_ <= d_.options_.max_batch_tokens);
    d_.normed_.Shape(num_tokens_, h_.hidden_size);
    d_.attended_.Shape(num_tokens_, h_.num_heads * h_.head_dim);
    d_.ffn_.Shape(num_tokens_, h_.ffn_size);
    d_.num_outputs_ = static_cast<int>(output_rows_.size());
  }

  // Lets go of the f16 keys of blocks that no sequence can come back to.
  ~Pass() {
    if (!kv_.has_open_blocks()) return;
    for (const SequenceSlice& slice : slices_) {
      const int end = slice.start + static_cast<int>(slice.tokens.size());
      for (int b = std::max(0, slice.start / kKvBlockTokens - 1);
           b < (end - kMaxRollback) / kKvBlockTokens; ++b)
        kv_.Close(slice.blocks[b]);
    }
  }

  void Run(Worker& worker) {
    ForTokens(worker, [&](int row) {
      Embed(row);
      Norm(row, d_.layers_[0].attention_norm);
    });
    for (int i = 0; i < h_.num_layers; ++i) RunLayer(worker, i);
    worker.ForEach(static_cast<int64_t>(output_rows_.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::copy_n(Hidden(output_rows_[i]), h_.hidden_size, &d_.raw_outputs_[i * h_.hidden_size]);
        Kernels().rms_norm(Hidden(output_rows_[i]), d_.output_norm_.data(), h_.norm_eps,
                           h_.hidden_size, &d_.outputs_[i * h_.hidden_size]);
      }
    });
  }

 private:
  void OpenBlocks(const SequenceSlice& slice) {
    if (!kv_.has_open_blocks()) return;
    const int end = slice.start + static_cast<int>(slice.tokens.size());
    for (int b = slice.start / kKvBlockTokens; b * kKvBlockTokens < end; ++b) {
      kv_.Open(slice.blocks[b]);
      if ((b + 1) * kKvBlockTokens <= end) filled_blocks_.push_back(slice.blocks[b]);
    }
  }

  // Codes the keys of blocks that this pass fills.
  void CloseFilled(Worker& worker, int layer) {
    if (filled_blocks_.empty() || kv_.shape().storage_of(layer) != KvStorage::kInt4) return;
    const int heads = h_.num_kv_heads;
    worker.ForEach(static_cast<int64_t>(filled_blocks_.size()) * heads, 1,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       const int block = filled_blocks_[i / heads];
                       const auto head = static_cast<int>(i % heads);
                       Kernels().close_keys(kv_.open_keys(layer, block, head), h_.head_dim,
                                            kv_.keys(layer, block, head));
                     }
                   });
    worker.Barrier();
  }

  void RunLayer(Worker& worker, int index) {
    const Layer& layer = d_.layers_[index];
    const int q_size = h_.num_heads * h_.head_dim, kv_size = h_.num_kv_heads * h_.head_dim;

    const MatmulJob qkv[] = {{&layer.query, d_.query_out_.data(), static_cast<size_t>(q_size)},
                             {&layer.key, d_.key_out_.data(), static_cast<size_t>(kv_size)},
                             {&layer.value, d_.value_out_.data(), static_cast<size_t>(kv_size)}};
    RunMatmuls(worker, qkv, d_.normed_, *d_.scratch_);
    worker.Barrier();
    ForItems(worker, int64_t{num_tokens_} * h_.num_kv_heads, [&](int64_t item) {
      PrepareHeads(static_cast<int>(item / h_.num_kv_heads),
                   static_cast<int>(item % h_.num_kv_heads), index, layer);
    });
    CloseFilled(worker, index);
    Attend(worker, index);
    const MatmulJob output[] = {
        {&layer.output, d_.projected_.data(), static_cast<size_t>(h_.hidden_size)}};
    RunMatmuls(worker, output, d_.attended_, *d_.scratch_);
    worker.Barrier();
    ForTokens(worker, [&](int row) {
      AddResidual(row, layer.output_bias, layer.post_attention_norm);
      Norm(row, layer.ffn_norm);
    });
    const auto activate =
        d_.spec_.activation == FfnActivation::kSilu ? Kernels().silu_mul : Kernels().gelu_mul;
    RunGated(worker, {&layer.gate, &layer.up, activate, &d_.ffn_}, d_.normed_, *d_.scratch_);
    worker.Barrier();
    const MatmulJob down[] = {
        {&layer.down, d_.projected_.data(), static_cast<size_t>(h_.hidden_size)}};
    RunMatmuls(worker, down, d_.ffn_, *d_.scratch_);
    worker.Barrier();
    const auto tap = std::ranges::find(d_.tap_layers_, index);
    const ptrdiff_t tap_index = tap == d_.tap_layers_.end() ? -1 : tap - d_.tap_layers_.begin();
    ForTokens(worker, [&](int row) {
      AddResidual(row, {}, layer.post_ffn_norm);
      if (tap_index >= 0) std::copy_n(Hidden(row), h_.hidden_size, d_.TapRow(tap_index, row));
      if (index + 1 < h_.num_layers) Norm(row, d_.layers_[index + 1].attention_norm);
    });
  }

  // body(row) for every token of the batch, then a barrier.
  template <typename Body>
  void ForTokens(Worker& worker, Body&& body) {
    ForItems(worker, num_tokens_, [&](int64_t row) { body(static_cast<int>(row)); });
  }
  template <typename Body>
  void ForItems(Worker& worker, int64_t count, Body&& body) {
    const int64_t chunk = std::max<int64_t>(1, count / (8 * worker.count()));
    worker.ForEach(count, chunk, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) body(item);
    });
    worker.Barrier();
  }

  float* Hidden(int row) { return &d_.hidden_[static_cast<size_t>(row) * h_.hidden_size]; }
  int Position(int row) const {
    const int slice = token_slice_[row];
    return slices_[slice].start + row - slice_first_row_[slice];
  }

  void Embed(int row) {
    const SequenceSlice& slice = slices_[token_slice_[row]];
    const int index = row - slice_first_row_[token_slice_[row]];
    const std::span<float> hidden(Hidden(row), h_.hidden_size);
    if (slice.inputs != nullptr) {
      std::copy_n(slice.inputs + static_cast<size_t>(index) * h_.hidden_size, h_.hidden_size,
                  hidden.begin());
    } else {
      d_.Embed(slice.tokens[index], hidden);
    }
    FillRope(row, d_.inverse_frequencies_, d_.rope_);
    if (!d_.local_rope_.empty()) FillRope(row, d_.local_inverse_frequencies_, d_.local_rope_);
  }

  // What the rope kernel wants at the token's position, of every channel.
  void FillRope(int row, const std::vector<float>& frequencies, std::vector<float>& table) {
    float* cosine = RopeOf(row, table);
    float* sine = cosine + h_.rope_dim;
    const auto position = static_cast<float>(Position(row));
    for (int i = 0; i < h_.rope_dim / 2; ++i) {
      const float angle = position * frequencies[i];
      const int first = d_.spec_.rope_interleaved ? 2 * i : i;
      const int second = d_.spec_.rope_interleaved ? 2 * i + 1 : i + h_.rope_dim / 2;
      cosine[first] = cosine[second] = std::cos(angle);
      sine[second] = std::sin(angle);
      sine[first] = -sine[second];
    }
  }

  float* RopeOf(int row, std::vector<float>& table) const {
    return &table[static_cast<size_t>(row) * h_.rope_dim * 2];
  }

  void Norm(int row, const std::vector<float>& weight) {
    Kernels().rms_norm(Hidden(row), weight.data(), h_.norm_eps, h_.hidden_size,
                       d_.normed_.row(row));
    d_.normed_.Quantize(row);
  }

  void AddResidual(int row, const std::vector<float>& bias, const std::vector<float>& post_norm) {
    float* projected = &d_.projected_[static_cast<size_t>(row) * h_.hidden_size];
    if (!bias.empty()) Kernels().add(projected, bias.data(), h_.hidden_size);
    if (!post_norm.empty())
      Kernels().rms_norm(projected, post_norm.data(), h_.norm_eps, h_.hidden_size, projected);
    Kernels().add(Hidden(row), projected, h_.hidden_size);
  }

  // Bias, head norm and RoPE of a token's queries and key of one KV head; K and V go to the cache,
  // queries are scaled for attention.
  void PrepareHeads(int row, int kv_head, int layer_index, const Layer& layer) {
    const KernelTable& kernels = Kernels();
    const int group = h_.num_heads / h_.num_kv_heads;
    const int q_size = group * h_.head_dim, q_offset = kv_head * q_size,
              kv_offset = kv_head * h_.head_dim;
    const auto of_row = [&](std::vector<float>& rows, int row_size, int offset) {
      return &rows[static_cast<size_t>(row) * row_size + offset];
    };
    float* queries = of_row(d_.query_out_, h_.num_kv_heads * q_size, q_offset);
    float* key = of_row(d_.key_out_, h_.num_kv_heads * h_.head_dim, kv_offset);
    float* value = of_row(d_.value_out_, h_.num_kv_heads * h_.head_dim, kv_offset);
    const auto add_bias = [&](float* x, const std::vector<float>& bias, int offset, int n) {
      if (!bias.empty()) kernels.add(x, bias.data() + offset, n);
    };
    add_bias(queries, layer.query_bias, q_offset, q_size);
    add_bias(key, layer.key_bias, kv_offset, h_.head_dim);
    add_bias(value, layer.value_bias, kv_offset, h_.head_dim);
    const float* cos_sin = RopeOf(row, d_.spec_.is_local(layer_index) ? d_.local_rope_ : d_.rope_);
    const auto turn = [&](float* head, const std::vector<float>& norm) {
      if (d_.spec_.qk_norm) kernels.rms_norm(head, norm.data(), h_.norm_eps, h_.head_dim, head);
      kernels.rope(head, cos_sin, h_.rope_dim, d_.spec_.rope_interleaved);
    };
    for (int head = 0; head < group; ++head) turn(queries + head * h_.head_dim, layer.query_norm);
    kernels.scale(queries,
                  d_.spec_.attention_scale > 0 ? d_.spec_.attention_scale
                                               : 1.0f / std::sqrt(static_cast<float>(h_.head_dim)),
                  q_size);
    turn(key, layer.key_norm);
    const int position = Position(row);
    const int block = slices_[token_slice_[row]].blocks[position / kKvBlockTokens];
    const KvStorage storage = kv_.shape().storage_of(layer_index);
    std::byte* keys = storage == KvStorage::kInt4 ? kv_.open_keys(layer_index, block, kv_head)
                                                  : kv_.keys(layer_index, block, kv_head);
    kernels.store_kv(storage, key, value, h_.head_dim, position % kKvBlockTokens, keys,
                     kv_.values(layer_index, block, kv_head));
  }

  // The queries of some tokens that share one KV head, as the kernels want them.
  struct Tile {
    std::array<const float*, kMaxTileQueries> queries;
    std::array<float*, kMaxTileQueries> out;
    std::array<int, kMaxTileQueries> first, end;
    std::vector<const std::byte*> k_blocks, v_blocks;
    AttentionTile kernel;
    int first_row, num_rows;          // of its tokens
    int first_channel, num_channels;  // of its heads
  };

  // Item i of the tasks times their tiles (KV heads, and head groups too large for one tile).
  // Of the block table only splits [first_split, last_split) are filled in, and the block after
  // them, which the kernel prefetches.
  void FillTile(int64_t item, int layer_index, int first_split, int last_split, Tile& tile) const {
    const AttentionTask& task = tasks_[item / TilesPerTask()];
    const int tile_of_task = static_cast<int>(item % TilesPerTask());
    const int kv_head = tile_of_task % h_.num_kv_heads,
              first_head = tile_of_task / h_.num_kv_heads * kMaxTileQueries;
    const int group = h_.num_heads / h_.num_kv_heads;
    const int heads = std::min(group - first_head, kMaxTileQueries);
    const std::span<const int> table = slices_[task.slice].blocks;
    const int num_blocks = (task.start + task.num_tokens - 1) / kKvBlockTokens + 1;
    tile.k_blocks.resize(num_blocks);
    tile.v_blocks.resize(num_blocks);
    const int first_block = first_split * kAttentionSplitBlocks,
              last_block = std::min(num_blocks, last_split * kAttentionSplitBlocks + 1);
    for (int b = first_block; b < last_block; ++b) {
      tile.k_blocks[b] = kv_.keys(layer_index, table[b], kv_head);
      tile.v_blocks[b] = kv_.values(layer_index, table[b], kv_head);
    }
    const KvStorage storage = kv_.shape().storage_of(layer_index);
    const int own_block = num_blocks - 1;
    if (storage == KvStorage::kInt4 && own_block >= first_block && own_block < last_block)
      tile.k_blocks[own_block] = kv_.open_keys(layer_index, table[own_block], kv_head);
    const int window = d_.spec_.is_local(layer_index) ? h_.sliding_window : 0;
    tile.first_row = task.first_row;
    tile.num_rows = task.num_tokens;
    tile.first_channel = (kv_head * group + first_head) * h_.head_dim;
    tile.num_channels = heads * h_.head_dim;
    int num_queries = 0;
    for (int i = 0; i < task.num_tokens; ++i) {
      const int position = task.start + i;
      for (int head = 0; head < heads; ++head, ++num_queries) {
        const int offset = tile.first_channel + head * h_.head_dim;
        tile.queries[num_queries] =
            &d_.query_out_[static_cast<size_t>(task.first_row + i) * h_.num_heads * h_.head_dim +
                           offset];
        tile.out[num_queries] = d_.attended_.row(task.first_row + i) + offset;
        tile.first[num_queries] = window > 0 ? std::max(0, position - window + 1) : 0;
        tile.end[num_queries] = position + 1;
      }
    }
    tile.kernel = {storage,
                   h_.head_dim,
                   num_queries,
                   tile.queries.data(),
                   tile.first.data(),
                   tile.end.data(),
                   tile.k_blocks.data(),
                   tile.v_blocks.data(),
                   0.0f,
                   storage == KvStorage::kInt4 ? own_block : -1};
  }

  void QuantizeAttended(const Tile& tile) {
    for (int row = tile.first_row; row < tile.first_row + tile.num_rows; ++row)
      d_.attended_.Quantize(row, tile.first_channel, tile.num_channels);
  }

  int TilesPerTask() const {
    const int group = h_.num_heads / h_.num_kv_heads;
    return h_.num_kv_heads * ((group + kMaxTileQueries - 1) / kMaxTileQueries);
  }

  // With few tiles and a long context the workers share the splits of each tile.
  bool SharesSplits(int num_workers) const {
    return max_splits_ > 1 &&
           static_cast<int64_t>(tasks_.size()) * TilesPerTask() < 8 * num_workers;
  }

  void Attend(Worker& worker, int layer_index) {
    const int64_t num_tiles = static_cast<int64_t>(tasks_.size()) * TilesPerTask();
    thread_local Tile tile;
    if (!SharesSplits(worker.count())) {
      worker.ForEach(num_tiles, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          FillTile(i, layer_index, 0, max_splits_, tile);
          AttendAll(tile.kernel, tile.out.data());
          QuantizeAttended(tile);
        }
      });
      worker.Barrier();
      return;
    }
    std::vector<AttentionState>& states = d_.attention_states_;
    worker.ForEachInOrder(num_tiles * max_splits_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int split = static_cast<int>(i % max_splits_);
        FillTile(i / max_splits_, layer_index, split, split + 1, tile);
        const SplitRange splits = SplitsOf(tile.kernel);
        if (split >= splits.first && split < splits.last)
          AttendSplit(tile.kernel, split, states[i]);
      }
    });
    worker.Barrier();
    worker.ForEach(num_tiles, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        FillTile(i, layer_index, 0, 0, tile);
        const SplitRange splits = SplitsOf(tile.kernel);
        AttentionState* of_tile = &states[i * max_splits_];
        AttentionState& state = of_tile[splits.first];
        for (int later = splits.first + 1; later < splits.last; ++later) {
          Kernels().attention_fold(state, of_tile[later], tile.kernel.num_queries, h_.head_dim);
        }
        Kernels().attention_finish(tile.kernel.storage, state, tile.kernel.num_queries, h_.head_dim,
                                   tile.out.data());
        QuantizeAttended(tile);
      }
    });
    worker.Barrier();
  }

  Decoder& d_;
  const HParams& h_;
  std::span<const SequenceSlice> slices_;
  KvCacheStorage& kv_;
  int num_tokens_ = 0;
  std::vector<int> token_slice_;      // [num_tokens]
  std::vector<int> slice_first_row_;  // [num_slices]
  std::vector<int> output_rows_;
  std::vector<AttentionTask> tasks_;
  std::vector<int> filled_blocks_;  // by this pass, in a cache with open blocks
  int max_splits_ = 1;              // of any task's context
};

void Decoder::Forward(std::span<const SequenceSlice> slices, KvCacheStorage& kv) {
  Pass pass(*this, slices, kv);
  pool_->Run([&](Worker& worker) { pass.Run(worker); });
}

std::span<const float> Decoder::output(int index) const {
  return {&outputs_[static_cast<size_t>(index) * spec_.hparams.hidden_size],
          static_cast<size_t>(spec_.hparams.hidden_size)};
}

std::span<const float> Decoder::raw_output(int index) const {
  return {&raw_outputs_[static_cast<size_t>(index) * spec_.hparams.hidden_size],
          static_cast<size_t>(spec_.hparams.hidden_size)};
}

void Decoder::SetTapLayers(std::vector<int> layers) {
  for (const int layer : layers) HEARTH_CHECK(layer >= 0 && layer < spec_.hparams.num_layers);
  tap_layers_ = std::move(layers);
  taps_.resize(tap_layers_.size() * options_.max_batch_tokens *
               static_cast<size_t>(spec_.hparams.hidden_size));
}

float* Decoder::TapRow(ptrdiff_t index, int row) {
  return &taps_[(static_cast<size_t>(index) * options_.max_batch_tokens + row) *
                spec_.hparams.hidden_size];
}

std::span<const float> Decoder::tap(int index, int row) const {
  return {const_cast<Decoder*>(this)->TapRow(index, row),
          static_cast<size_t>(spec_.hparams.hidden_size)};
}

void Decoder::Embed(TokenId token, std::span<float> out) const {
  const size_t row_bytes = embedding_->row_bytes();
  DequantizeRow(embedding_->type, embedding_->data.subspan(token * row_bytes, row_bytes), out);
  if (spec_.embedding_scale != 1)
    Kernels().scale(out.data(), spec_.embedding_scale, static_cast<int>(out.size()));
}

const float* Decoder::Logits(int first, int count) {
  HEARTH_CHECK(first >= 0 && count >= 1 && count <= options_.max_logits &&
               first + count <= num_outputs_);
  head_in_.Shape(count, spec_.hparams.hidden_size);
  const MatmulJob jobs[] = {{&head_, logits_.data(), logits_stride()}};
  pool_->Run([&](Worker& worker) {
    worker.ForEach(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::ranges::copy(output(first + static_cast<int>(i)), head_in_.row(static_cast<int>(i)));
        head_in_.Quantize(static_cast<int>(i));
      }
    });
    worker.Barrier();
    RunMatmuls(worker, jobs, head_in_, *scratch_);
  });
  return logits_.data();
}

}  // namespace hearth
