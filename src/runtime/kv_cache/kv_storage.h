#pragma once
// The memory of the KV cache: a fixed number of blocks of 64 tokens, each holding K and V of every
// layer and KV head.
// Threads: the storage itself is one engine's; workers of a team write disjoint slots.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "runtime/kernels/kernels.h"

namespace hearth {

struct KvShape {
  int num_layers = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  KvStorage storage = KvStorage::kF16;

  // K and V of one token over all layers.
  int64_t bytes_per_token() const;
  int64_t bytes_per_block() const;
};

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

  // [head_dim][64] keys and [64][head_dim] values of one head (kernels.h has the exact layout).
  std::byte* keys(int layer, int block, int head) const {
    return memory_.get() +
           ((static_cast<size_t>(layer) * num_blocks_ + block) * shape_.num_kv_heads + head) * 2 *
               half_bytes_;
  }
  std::byte* values(int layer, int block, int head) const {
    return keys(layer, block, head) + half_bytes_;
  }

 private:
  KvShape shape_;
  int num_blocks_ = 0;
  size_t half_bytes_ = 0;  // K (or V) of one block and head
  std::unique_ptr<std::byte, UnmapMemory> memory_{nullptr, UnmapMemory{0}};
};

}  // namespace hearth
