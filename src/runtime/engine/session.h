#pragma once
// What the KV cache keeps of finished work, to a file and back, so that a conversation goes on in
// another process as if it had never ended.
// Threads: the engine's thread only, between two passes.

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "runtime/kv_cache/block_pool.h"
#include "runtime/kv_cache/kv_storage.h"
#include "runtime/kv_cache/session_file.h"

namespace hearth {

// Writes the blocks of the longest prefix of `tokens` that the cache holds; the number of tokens in
// them. Errors: those of WriteKvSession.
Result<int> SaveSession(const std::string& path, const KvSessionKey& key, const KvCacheStorage& kv,
                        BlockPool& pool, std::span<const TokenId> tokens);
// Writes everything that the cache holds, most recently used first, up to `max_bytes` of K and V.
Result<int> SaveAllSessions(const std::string& path, const KvSessionKey& key,
                            const KvCacheStorage& kv, const BlockPool& pool, int64_t max_bytes);
// Makes the blocks of a file findable, as far as there is room; the number of tokens in them, those
// that were known already included. After an error the cache is as it was, but for what was evicted
// to make room.
// Errors: those of KvSessionReader and CheckSameKey, each naming `path`.
Result<int> RestoreSession(const std::string& path, const KvSessionKey& key, KvCacheStorage& kv,
                           BlockPool& pool);

}  // namespace hearth
