#include "runtime/kv_cache/kv_storage.h"

#include <sys/mman.h>

#include <cstring>

#include "base/check.h"

namespace hearth {

KvStorage KvShape::storage_of(int layer) const {
  const bool edge = layer == 0 || layer == num_layers - 1;
  return storage == KvStorage::kInt4 && edge ? KvStorage::kInt8 : storage;
}

int64_t KvShape::bytes_per_block() const {
  int64_t bytes = 0;
  for (int layer = 0; layer < num_layers; ++layer) {
    const KvStorage of_layer = storage_of(layer);
    bytes += static_cast<int64_t>(KeyBlockBytes(of_layer, head_dim) +
                                  ValueBlockBytes(of_layer, head_dim)) *
             num_kv_heads;
  }
  return bytes;
}

int64_t KvShape::bytes_per_token() const { return bytes_per_block() / kKvBlockTokens; }

int64_t KvShape::bytes_per_open_block() const {
  if (storage != KvStorage::kInt4) return 0;
  return static_cast<int64_t>(KeyBlockBytes(KvStorage::kF16, head_dim)) * num_layers * num_kv_heads;
}

Result<KvCacheStorage> KvCacheStorage::Create(const KvShape& shape, int num_blocks) {
  const size_t size = static_cast<size_t>(shape.bytes_per_block()) * num_blocks;
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return MakeError(ErrorCode::kResourceExhausted,
                     "no memory for a KV cache of " + std::to_string(size) + " bytes");
  }
  ::madvise(memory, size, MADV_HUGEPAGE);
  KvCacheStorage cache;
  cache.shape_ = shape;
  cache.num_blocks_ = num_blocks;
  cache.memory_ = {static_cast<std::byte*>(memory), UnmapMemory{size}};
  size_t offset = 0;
  for (int layer = 0; layer < shape.num_layers; ++layer) {
    const KvStorage storage = shape.storage_of(layer);
    const LayerPlace place = {offset, KeyBlockBytes(storage, shape.head_dim),
                              ValueBlockBytes(storage, shape.head_dim)};
    cache.layers_.push_back(place);
    offset += (place.key_bytes + place.value_bytes) * shape.num_kv_heads * num_blocks;
  }
  cache.open_head_bytes_ = KeyBlockBytes(KvStorage::kF16, shape.head_dim);
  if (cache.has_open_blocks()) cache.open_of_block_.assign(num_blocks, -1);
  return cache;
}

void KvCacheStorage::CopyBlock(int from, int to) {
  HEARTH_CHECK(!has_open_blocks());
  for (int layer = 0; layer < shape_.num_layers; ++layer) {
    const LayerPlace& place = layers_[layer];
    std::memcpy(keys(layer, to, 0), keys(layer, from, 0),
                (place.key_bytes + place.value_bytes) * shape_.num_kv_heads);
  }
}

void KvCacheStorage::Open(int block) {
  if (open_of_block_[block] >= 0) return;
  if (unused_open_.empty()) {
    unused_open_.push_back(static_cast<int>(open_.size()));
    // zeroed: a partly filled block's unwritten keys are multiplied too, before they are masked
    open_.push_back(std::make_unique<std::byte[]>(shape_.bytes_per_open_block()));
  }
  open_of_block_[block] = unused_open_.back();
  unused_open_.pop_back();
}

void KvCacheStorage::Close(int block) {
  if (!has_open_blocks() || open_of_block_[block] < 0) return;
  unused_open_.push_back(open_of_block_[block]);
  open_of_block_[block] = -1;
}

void UnmapMemory::operator()(std::byte* memory) const { ::munmap(memory, size_bytes); }

}  // namespace hearth
