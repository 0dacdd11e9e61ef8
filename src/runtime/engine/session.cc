#include "runtime/engine/session.h"

#include <algorithm>
#include <vector>

namespace hearth {
namespace {

// Blocks held while they are read or written, given back last to first.
class HeldBlocks {
 public:
  explicit HeldBlocks(BlockPool& pool) : pool_(pool) {}
  HeldBlocks(const HeldBlocks&) = delete;
  HeldBlocks& operator=(const HeldBlocks&) = delete;
  ~HeldBlocks() {
    for (auto it = ids.rbegin(); it != ids.rend(); ++it) pool_.Release(*it);
  }
  std::vector<BlockId> ids;

 private:
  BlockPool& pool_;
};

}  // namespace

Result<int> SaveSession(const std::string& path, const KvSessionKey& key, const KvCacheStorage& kv,
                        BlockPool& pool, std::span<const TokenId> tokens) {
  HeldBlocks held(pool);
  held.ids = pool.Match(tokens, pool.num_blocks());
  std::vector<PublishedBlock> blocks;
  for (size_t i = 0; i < held.ids.size(); ++i) {
    blocks.push_back(
        {held.ids[i], static_cast<int>(i) - 1, tokens.subspan(i * kKvBlockTokens, kKvBlockTokens)});
  }
  HEARTH_RETURN_IF_ERROR(WriteKvSession(path, key, kv, blocks));
  return static_cast<int>(blocks.size()) * kKvBlockTokens;
}

Result<int> SaveAllSessions(const std::string& path, const KvSessionKey& key,
                            const KvCacheStorage& kv, const BlockPool& pool, int64_t max_bytes) {
  const int64_t most = std::min<int64_t>(
      {max_bytes / kv.shape().bytes_per_block(), pool.num_blocks(), kMaxKvSessionBlocks});
  const std::vector<PublishedBlock> blocks = pool.Published(static_cast<int>(most));
  HEARTH_RETURN_IF_ERROR(WriteKvSession(path, key, kv, blocks));
  return static_cast<int>(blocks.size()) * kKvBlockTokens;
}

Result<int> RestoreSession(const std::string& path, const KvSessionKey& key, KvCacheStorage& kv,
                           BlockPool& pool) {
  HEARTH_ASSIGN_OR_RETURN(KvSessionReader reader, KvSessionReader::Open(path));
  const KvSessionHead& head = reader.head();
  if (const Status same = CheckSameKey(head.key, key); !same)
    return MakeError(same.error().code, path + ": " + same.error().message);
  HeldBlocks held(pool);
  for (const KvSessionBlock& block : head.blocks) {
    const auto previous = block.parent < 0
                              ? std::nullopt
                              : std::optional(held.ids[static_cast<size_t>(block.parent)]);
    std::optional<BlockId> id = pool.MatchOne(previous, block.tokens);
    if (id) {
      reader.Skip();
    } else {
      id = pool.Allocate();
      if (!id) break;  // the rest has no room: what was used last comes first
      if (const Status read = reader.ReadNext(kv, *id); !read) {
        pool.Release(*id);
        return tl::unexpected(read.error());
      }
    }
    held.ids.push_back(*id);
  }
  // Only now, for an error above leaves nothing behind.
  for (size_t i = 0; i < held.ids.size(); ++i) {
    const int parent = head.blocks[i].parent;
    held.ids[i] = pool.Publish(
        held.ids[i],
        parent < 0 ? std::nullopt : std::optional(held.ids[static_cast<size_t>(parent)]),
        head.blocks[i].tokens);
  }
  return static_cast<int>(held.ids.size()) * kKvBlockTokens;
}

}  // namespace hearth
