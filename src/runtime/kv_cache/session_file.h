#pragma once
// KV blocks in a file: the K and V of conversations, to go on with them in another process without
// computing them again. docs/formats/kv_session.md has the bytes. A file belongs to exactly what
// computed it (KvSessionKey); whoever reads it compares.
// Threads: one at a time.

#include <array>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/kv_cache/block_pool.h"
#include "runtime/kv_cache/kv_storage.h"

namespace hearth {

// Everything that the bytes of a block depend on, besides its tokens.
struct KvSessionKey {
  std::string model;    // content of the model file, 32 hex digits (weight_image.h)
  std::string adapter;  // content of the adapter; empty: none
  std::string kernels;  // whose rounding the numbers carry, as KernelTable::name
  bool integer_activations = true;
  KvShape shape;
};

// Errors: kInvalidArgument naming the first difference.
Status CheckSameKey(const KvSessionKey& saved, const KvSessionKey& ours);

struct KvSessionBlock {
  int parent = -1;  // index of the block before it in the file, less than its own; -1: none
  std::array<TokenId, kKvBlockTokens> tokens{};
  uint64_t checksum = 0;  // of the block's K and V
};

struct KvSessionHead {
  KvSessionKey key;
  std::vector<KvSessionBlock> blocks;
};

// Size of the head of a file of `file_bytes`, told by its first kKvSessionHeaderBytes bytes.
// Errors: kCorrupt, kUnsupported (another version).
inline constexpr size_t kKvSessionHeaderBytes = 256;
Result<uint64_t> KvSessionHeadBytes(std::span<const std::byte> header, uint64_t file_bytes);
// Requires: head.size() is what KvSessionHeadBytes says. Errors: kCorrupt.
Result<KvSessionHead> ParseKvSessionHead(std::span<const std::byte> head);
// Puts the checksum into a finished head. Requires: at least a header.
void SealKvSessionHead(std::span<std::byte> head);

// 64 million tokens; a file that names more is damaged.
inline constexpr uint32_t kMaxKvSessionBlocks = 1 << 20;

class KvSessionReader {
 public:
  // Errors: kNotFound, kIo, kCorrupt, kUnsupported, each naming `path`.
  static Result<KvSessionReader> Open(const std::string& path);
  const KvSessionHead& head() const { return head_; }
  // The next block's K and V into `block` of `kv`, whose shape is the key's. Errors: kIo, kCorrupt.
  Status ReadNext(KvCacheStorage& kv, BlockId block);
  // Passes over the next block.
  void Skip();

 private:
  KvSessionReader() = default;
  std::string path_;
  std::ifstream file_;
  KvSessionHead head_;
  std::vector<std::byte> buffer_;
  size_t next_ = 0;
};

// Writes `blocks` (parents first, at most kMaxKvSessionBlocks) whole or not at all. Errors: those
// of AtomicFile.
Status WriteKvSession(const std::string& path, const KvSessionKey& key, const KvCacheStorage& kv,
                      std::span<const PublishedBlock> blocks);

}  // namespace hearth
