#pragma once
// The memory of the KV cache: a fixed number of blocks of 64 tokens, each holding K and V of every
// layer and KV head. With int4 keys, the blocks being filled have their keys as f16 besides, until
// they are full and nothing can be taken back from them (kernels.h says why).
// Threads: the storage itself is one engine's; workers of a team write disjoint slots.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "runtime/kernels/kernels.h"

namespace hearth {

struct KvShape {
  int num_layers = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  KvStorage storage = KvStorage::kF16;

  // With int4 the first and the last layer are int8: their keys suffer most (docs/decisions).
  KvStorage storage_of(int layer) const;
  // K and V of one token over all layers.
  int64_t bytes_per_token() const;
  int64_t bytes_per_block() const;
  // What a block takes besides while it is being filled.
  int64_t bytes_per_open_block() const;
};

// A sequence may take back so many of its last tokens, at most (guesses that proved wrong).
inline constexpr int kMaxRollback = kKvBlockTokens;

struct UnmapMemory {
  size_t size_bytes;
  void operator()(std::byte* memory) const;
};

class KvCacheStorage {
 public:
  // Memory is reserved at once and touched only as blocks are used. Errors: kResourceExhausted with
  // the size asked for.
  static Result<KvCacheStorage> Create(const KvShape& shape, int num_blocks);

  const KvShape& shape() const { return shape_; }
  int num_blocks() const { return num_blocks_; }

  // Keys and values of one block and head (kernels.h has the layouts).
  std::byte* keys(int layer, int block, int head) const {
    const LayerPlace& place = layers_[layer];
    return memory_.get() + place.offset +
           (static_cast<size_t>(block) * shape_.num_kv_heads + head) *
               (place.key_bytes + place.value_bytes);
  }
  std::byte* values(int layer, int block, int head) const {
    return keys(layer, block, head) + layers_[layer].key_bytes;
  }

  // Requires: no f16 keys besides, which a copy would not have.
  void CopyBlock(int from, int to);

  // The blocks that have f16 keys besides. Open before a block is written; no matter if it is open.
  bool has_open_blocks() const { return shape_.storage == KvStorage::kInt4; }
  void Open(int block);
  // Requires: the block is full for good, or nobody's. No matter if it is not open.
  void Close(int block);
  std::byte* open_keys(int layer, int block, int head) const {
    return open_[open_of_block_[block]].get() +
           (static_cast<size_t>(layer) * shape_.num_kv_heads + head) * open_head_bytes_;
  }
  int num_open() const { return static_cast<int>(open_.size() - unused_open_.size()); }

 private:
  struct LayerPlace {
    size_t offset, key_bytes, value_bytes;
  };

  KvShape shape_;
  int num_blocks_ = 0;
  std::vector<LayerPlace> layers_;
  std::unique_ptr<std::byte, UnmapMemory> memory_{nullptr, UnmapMemory{0}};
  size_t open_head_bytes_ = 0;
  std::vector<std::unique_ptr<std::byte[]>> open_;  // f16 keys [layer][head]
  std::vector<int> unused_open_;
  std::vector<int> open_of_block_;  // index into open_, -1: not open
};

}  // namespace hearth
