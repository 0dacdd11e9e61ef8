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
    Own(*found);
    matched.push_back(*found);
    parent = blocks_[*found].identity;
    tokens = tokens.subspan(kKvBlockTokens);
  }
  return matched;
}

std::optional<BlockId> BlockPool::MatchOne(std::optional<BlockId> previous,
                                           std::span<const TokenId> tokens) {
  const std::optional<uint64_t> parent = IdentityOf(previous);
  const std::optional<BlockId> found = parent ? Find(*parent, tokens) : std::nullopt;
  if (found) Own(*found);
  return found;
}

void BlockPool::Own(BlockId id) {
  Block& block = blocks_[id];
  if (block.owners++ > 0) return;
  kept_.erase(block.kept);
  ++num_owned_;
}

std::vector<PublishedBlock> BlockPool::Published(int max_blocks) const {
  // Those in use first, oldest identity first; then the kept ones. A parent has an older identity
  // than its children, and is owned and released no earlier than they are.
  std::vector<BlockId> order;
  for (BlockId id = 0; id < num_blocks(); ++id) {
    if (blocks_[id].owners > 0 && blocks_[id].identity != 0) order.push_back(id);
  }
  std::ranges::sort(order, {}, [this](BlockId id) { return blocks_[id].identity; });
  order.insert(order.end(), kept_.rbegin(), kept_.rend());
  std::unordered_map<uint64_t, int> index_of;
  std::vector<PublishedBlock> listed;
  for (const BlockId id : order) {
    if (static_cast<int>(listed.size()) >= max_blocks) break;
    const Block& block = blocks_[id];
    if (block.tokens.size() < kKvBlockTokens) continue;  // a part
    const auto parent = index_of.find(block.parent);
    HEARTH_CHECK(block.parent == 0 || parent != index_of.end());
    index_of.emplace(block.identity, static_cast<int>(listed.size()));
    listed.push_back({id, block.parent == 0 ? -1 : parent->second, block.tokens});
  }
  return listed;
}

BlockId BlockPool::Publish(BlockId id, std::optional<BlockId> previous,
                           std::span<const TokenId> tokens) {
  HEARTH_CHECK(tokens.size() == kKvBlockTokens && blocks_[id].owners > 0);
  const std::optional<uint64_t> parent = IdentityOf(previous);
  if (blocks_[id].identity != 0 || !parent) return id;
  if (const std::optional<BlockId> twin = Find(*parent, tokens)) {
    Own(*twin);
    Release(id);
    return *twin;
  }
  DropParts(*parent, tokens);
  Enter(id, *parent, tokens);
  return id;
}

void BlockPool::PublishPart(BlockId id, std::optional<BlockId> previous,
                            std::span<const TokenId> tokens) {
  HEARTH_CHECK(tokens.size() < kKvBlockTokens && blocks_[id].owners > 0);
  const std::optional<uint64_t> parent = IdentityOf(previous);
  if (tokens.empty() || blocks_[id].identity != 0 || !parent) return;
  const auto [begin, end] = by_parent_.equal_range(*parent);
  for (auto it = begin; it != end; ++it) {
    const std::vector<TokenId>& known = blocks_[it->second].tokens;
    if (known.size() >= tokens.size() && std::equal(tokens.begin(), tokens.end(), known.begin()))
      return;
  }
  DropParts(*parent, tokens);
  Enter(id, *parent, tokens);
}

std::optional<BlockPool::Part> BlockPool::MatchPart(std::optional<BlockId> previous,
                                                    std::span<const TokenId> tokens) {
  const std::optional<uint64_t> parent = IdentityOf(previous);
  if (!parent) return std::nullopt;
  Part best;
  const auto [begin, end] = by_parent_.equal_range(*parent);
  for (auto it = begin; it != end; ++it) {
    const std::vector<TokenId>& known = blocks_[it->second].tokens;
    const auto same = std::ranges::mismatch(known, tokens).in1 - known.begin();
    if (same > best.num_tokens) best = {it->second, static_cast<int>(same)};
  }
  if (best.num_tokens == 0) return std::nullopt;
  Own(best.block);
  return best;
}

// None: nobody can find `previous`, and so none of its children.
std::optional<uint64_t> BlockPool::IdentityOf(std::optional<BlockId> previous) const {
  if (!previous) return 0;
  const uint64_t identity = blocks_[*previous].identity;
  return identity == 0 ? std::nullopt : std::optional(identity);
}

void BlockPool::Enter(BlockId id, uint64_t parent, std::span<const TokenId> tokens) {
  Block& block = blocks_[id];
  block.identity = next_identity_++;
  block.parent = parent;
  block.tokens.assign(tokens.begin(), tokens.end());
  by_hash_.emplace(HashOf(parent, tokens), id);
  by_parent_.emplace(parent, id);
}

// Frees kept parts that hold nothing but a beginning of `tokens`, which another block is to hold.
void BlockPool::DropParts(uint64_t parent, std::span<const TokenId> tokens) {
  std::vector<BlockId> useless;
  const auto [begin, end] = by_parent_.equal_range(parent);
  for (auto it = begin; it != end; ++it) {
    const Block& block = blocks_[it->second];
    if (block.owners == 0 && block.tokens.size() < kKvBlockTokens &&
        block.tokens.size() <= tokens.size() &&
        std::ranges::equal(block.tokens, tokens.first(block.tokens.size()))) {
      useless.push_back(it->second);
    }
  }
  for (const BlockId id : useless) {
    kept_.erase(blocks_[id].kept);
    Unpublish(id);
    free_.push_back(id);
  }
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
  const auto erase = [id](std::unordered_multimap<uint64_t, BlockId>& index, uint64_t key) {
    const auto [begin, end] = index.equal_range(key);
    const auto found = std::find_if(begin, end, [id](const auto& e) { return e.second == id; });
    HEARTH_CHECK(found != end);
    index.erase(found);
  };
  erase(by_hash_, HashOf(block.parent, block.tokens));
  erase(by_parent_, block.parent);
  block.identity = 0;
  block.tokens.clear();
}

}  // namespace hearth
