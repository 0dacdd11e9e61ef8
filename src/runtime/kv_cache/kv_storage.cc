#include "runtime/kv_cache/kv_storage.h"

#include <sys/mman.h>

namespace hearth {

int64_t KvShape::bytes_per_block() const {
  return static_cast<int64_t>(2 * KvBlockBytes(storage, head_dim)) * num_layers * num_kv_heads;
}

int64_t KvShape::bytes_per_token() const { return bytes_per_block() / kKvBlockTokens; }

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
  cache.half_bytes_ = KvBlockBytes(shape.storage, shape.head_dim);
  cache.memory_ = {static_cast<std::byte*>(memory), UnmapMemory{size}};
  return cache;
}

void UnmapMemory::operator()(std::byte* memory) const { ::munmap(memory, size_bytes); }

}  // namespace hearth
