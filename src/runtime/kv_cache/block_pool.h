#pragma once
// Hands out KV blocks, and keeps full ones whose sequence is gone for the next that begins with the
// same tokens. A kept block is known by its tokens and by the block before it, so a match is exact:
// the same tokens from the very start. What a sequence leaves of a block that it did not fill is
// kept too, to be copied. Least recently used blocks go first when room is needed; of
// one sequence, the last block before the first.
// Threads: one at a time.

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

using BlockId = int;

// A block that can be found, as it is listed.
struct PublishedBlock {
  BlockId id = 0;
  int parent = -1;  // index in the list of the block before it; -1: begins a sequence
  std::span<const TokenId> tokens;
};

class BlockPool {
 public:
  explicit BlockPool(int num_blocks);

  // A block for one owner; evicts the least recently used kept block if no other is free. None:
  // every block has an owner.
  std::optional<BlockId> Allocate();
  // Gives up one ownership. A sequence releases its blocks last to first.
  void Release(BlockId block);

  // The kept or owned blocks that hold the longest prefix of `tokens` in whole blocks, in order;
  // the caller becomes an owner of each. At most `max_blocks`.
  std::vector<BlockId> Match(std::span<const TokenId> tokens, int max_blocks);
  // The kept or owned block that holds `tokens` (exactly one block's) and follows `previous` (none:
  // begins the sequence); the caller becomes an owner.
  std::optional<BlockId> MatchOne(std::optional<BlockId> previous, std::span<const TokenId> tokens);
  // Makes a full block findable: it holds `tokens` (exactly one block's) and follows `previous`
  // (none: begins the sequence). Gives the block to go on with: `block`, or the equal one that is
  // known already, which the caller then owns instead of `block`: only so can its own children be
  // found. When `previous` is not known itself, nothing happens.
  BlockId Publish(BlockId block, std::optional<BlockId> previous, std::span<const TokenId> tokens);
  // Makes a block that is not full findable by MatchPart: it holds `tokens` (fewer than a block's)
  // and follows `previous` as above. Nothing happens when another block there holds them too.
  void PublishPart(BlockId block, std::optional<BlockId> previous, std::span<const TokenId> tokens);
  struct Part {
    BlockId block = 0;
    int num_tokens = 0;  // at its beginning that are those asked for
  };
  // Of the blocks behind `previous`, full or not, the one that begins with the most of `tokens`;
  // the caller becomes an owner until it has copied that. None: not a single token.
  std::optional<Part> MatchPart(std::optional<BlockId> previous, std::span<const TokenId> tokens);
  // Of full blocks: what can be found, most recently used first and each behind its parent; at most
  // `max_blocks`. Valid until the next change.
  std::vector<PublishedBlock> Published(int max_blocks) const;

  int num_blocks() const { return static_cast<int>(blocks_.size()); }
  int num_owned() const { return num_owned_; }
  // Blocks an Allocate could give, evicting what is kept.
  int num_available() const { return num_blocks() - num_owned_; }

 private:
  struct Block {
    int owners = 0;
    // 0: not published. Never used twice, so a child of an evicted block can never match again
    uint64_t identity = 0;
    uint64_t parent = 0;
    std::vector<TokenId> tokens;        // fewer than a block's: a part
    std::list<BlockId>::iterator kept;  // valid when published and without owners
  };
  std::optional<uint64_t> IdentityOf(std::optional<BlockId> previous) const;
  void Enter(BlockId block, uint64_t parent, std::span<const TokenId> tokens);
  void DropParts(uint64_t parent, std::span<const TokenId> tokens);
  std::optional<BlockId> Find(uint64_t parent, std::span<const TokenId> tokens) const;
  void Own(BlockId block);
  void Unpublish(BlockId block);

  std::vector<Block> blocks_;
  std::vector<BlockId> free_;
  std::list<BlockId> kept_;  // least recently used first
  std::unordered_multimap<uint64_t, BlockId> by_hash_;
  std::unordered_multimap<uint64_t, BlockId> by_parent_;  // full blocks and parts
  uint64_t next_identity_ = 1;
  int num_owned_ = 0;
};

}  // namespace hearth
