#include "runtime/kv_cache/block_pool.h"

#include <algorithm>

#include "base/check.h"
#include "runtime/kernels/kernels.h"

namespace hearth {
namespace {

uint64_t HashOf(uint64_t parent, std::span<const TokenId> tokens) {
  // FNV-1a; a collision only costs a comparison of tokens
  uint64_t hash = 0xcbf29ce484222325ull ^ parent;
  for (const TokenId token : tokens)
    hash = (hash ^ static_cast<uint32_t>(token)) * 0x100000001b3ull;
  return hash;
}

}  // namespace

BlockPool::BlockPool(int num_blocks) : blocks_(num_blocks) {
  for (BlockId block = num_blocks - 1; block >= 0; --block) free_.push_back(block);
}

std::optional<BlockId> BlockPool::Allocate() {
  if (free_.empty()) {
    if (kept_.empty()) return std::nullopt;
    const BlockId oldest = kept_.front();
    kept_.pop_front();
    Unpublish(oldest);
    free_.push_back(oldest);
  }
  const BlockId block = free_.back();
  free_.pop_back();
  blocks_[block].owners = 1;
  ++num_owned_;
  return block;
}

void BlockPool::Release(BlockId id) {
  Block& block = blocks_[id];
  HEARTH_CHECK(block.owners > 0);
  if (--block.owners > 0) return;
  --num_owned_;
  if (block.identity != 0) {
    block.kept = kept_.insert(kept_.end(), id);
  } else {
    free_.push_back(id);
  }
}

std::vector<BlockId> BlockPool::Match(std::span<const TokenId> tokens, int max_blocks) {
  std::vector<BlockId> matched;
  uint64_t parent = 0;
  while (static_cast<int>(matched.size()) < max_blocks && tokens.size() >= kKvBlockTokens) {
    const std::optional<BlockId> found = Find(parent, tokens.first(kKvBlockTokens));
    if (!found) break;
    Block& block = blocks_[*found];
    if (block.owners++ == 0) {
      kept_.erase(block.kept);
      ++num_owned_;
    }
    matched.push_back(*found);
    parent = block.identity;
    tokens = tokens.subspan(kKvBlockTokens);
  }
  return matched;
}

void BlockPool::Publish(BlockId id, std::optional<BlockId> previous,
                        std::span<const TokenId> tokens) {
  HEARTH_CHECK(tokens.size() == kKvBlockTokens && blocks_[id].owners > 0);
  const uint64_t parent = previous ? blocks_[*previous].identity : 0;
  if (blocks_[id].identity != 0 || (previous && parent == 0) || Find(parent, tokens)) return;
  Block& block = blocks_[id];
  block.identity = next_identity_++;
  block.parent = parent;
  block.tokens.assign(tokens.begin(), tokens.end());
  by_hash_.emplace(HashOf(parent, tokens), id);
}

std::optional<BlockId> BlockPool::Find(uint64_t parent, std::span<const TokenId> tokens) const {
  const auto [begin, end] = by_hash_.equal_range(HashOf(parent, tokens));
  for (auto it = begin; it != end; ++it) {
    const Block& block = blocks_[it->second];
    if (block.parent == parent && std::ranges::equal(block.tokens, tokens)) return it->second;
  }
  return std::nullopt;
}

void BlockPool::Unpublish(BlockId id) {
  Block& block = blocks_[id];
  const auto [begin, end] = by_hash_.equal_range(HashOf(block.parent, block.tokens));
  for (auto it = begin; it != end; ++it) {
    if (it->second == id) {
      by_hash_.erase(it);
      break;
    }
  }
  block.identity = 0;
  block.tokens.clear();
}

}  // namespace hearth
