#include "runtime/kv_cache/block_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "runtime/kernels/kernels.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<TokenId> Tokens(int num_blocks, TokenId first) {
  std::vector<TokenId> tokens(static_cast<size_t>(num_blocks) * kKvBlockTokens);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

std::span<const TokenId> BlockOf(const std::vector<TokenId>& tokens, int index) {
  return std::span(tokens).subspan(static_cast<size_t>(index) * kKvBlockTokens, kKvBlockTokens);
}

// Fills and publishes a sequence's blocks, then releases them last to first, as an engine does.
std::vector<BlockId> RunSequence(BlockPool& pool, const std::vector<TokenId>& tokens) {
  std::vector<BlockId> blocks;
  for (size_t i = 0; i < tokens.size() / kKvBlockTokens; ++i) {
    blocks.push_back(pool.Allocate().value());
    pool.Publish(blocks[i], i == 0 ? std::nullopt : std::optional(blocks[i - 1]),
                 BlockOf(tokens, static_cast<int>(i)));
  }
  for (auto it = blocks.rbegin(); it != blocks.rend(); ++it) pool.Release(*it);
  return blocks;
}

TEST(BlockPool, FindsTheLongestPublishedPrefix) {
  BlockPool pool(8);
  const std::vector<TokenId> tokens = Tokens(3, 0);
  const std::vector<BlockId> blocks = RunSequence(pool, tokens);
  std::vector<TokenId> other = tokens;
  other[2 * kKvBlockTokens + 5] = -1;  // differs in the third block
  EXPECT_THAT(pool.Match(other, 8), ElementsAre(blocks[0], blocks[1]));
  EXPECT_EQ(pool.num_owned(), 2);
}

TEST(BlockPool, MatchesOnlyFromTheStart) {
  BlockPool pool(8);
  const std::vector<TokenId> tokens = Tokens(2, 0);
  RunSequence(pool, tokens);
  const std::vector<TokenId> second_block(tokens.begin() + kKvBlockTokens, tokens.end());
  EXPECT_THAT(pool.Match(second_block, 8), IsEmpty());
}

TEST(BlockPool, GivesNothingWhenEveryBlockHasAnOwner) {
  BlockPool pool(2);
  const BlockId first = pool.Allocate().value();
  pool.Allocate().value();
  EXPECT_FALSE(pool.Allocate());
  pool.Release(first);
  EXPECT_TRUE(pool.Allocate());
}

TEST(BlockPool, EvictsTheLeastRecentlyUsedSequenceAndItsTailFirst) {
  BlockPool pool(4);
  const std::vector<TokenId> old_tokens = Tokens(2, 0), new_tokens = Tokens(2, 1000);
  RunSequence(pool, old_tokens);
  const std::vector<BlockId> recent = RunSequence(pool, new_tokens);
  pool.Allocate().value();  // evicts the old sequence's last block
  const std::vector<BlockId> left = pool.Match(old_tokens, 8);
  EXPECT_EQ(left.size(), 1u);
  EXPECT_THAT(pool.Match(new_tokens, 8), ElementsAre(recent[0], recent[1]));
}

TEST(BlockPool, AnEvictedParentHidesItsChildren) {
  BlockPool pool(2);
  const std::vector<TokenId> tokens = Tokens(2, 0);
  const BlockId first = pool.Allocate().value(), second = pool.Allocate().value();
  pool.Publish(first, std::nullopt, BlockOf(tokens, 0));
  pool.Publish(second, first, BlockOf(tokens, 1));
  pool.Release(first);      // wrong order on purpose: the parent becomes the older one
  pool.Allocate().value();  // evicts it
  EXPECT_THAT(pool.Match(tokens, 8), IsEmpty());
}

TEST(BlockPool, SharedBlocksStayUntilTheLastOwnerLeaves) {
  BlockPool pool(2);
  const std::vector<TokenId> tokens = Tokens(1, 0);
  RunSequence(pool, tokens);
  const BlockId shared = pool.Match(tokens, 8).at(0);
  ASSERT_EQ(pool.Match(tokens, 8).at(0), shared);
  pool.Release(shared);
  EXPECT_EQ(pool.num_owned(), 1);
  pool.Allocate().value();
  EXPECT_FALSE(pool.Allocate());  // the shared block still has an owner
}

TEST(BlockPool, AnEqualBlockIsPublishedOnce) {
  BlockPool pool(4);
  const std::vector<TokenId> tokens = Tokens(1, 0);
  const BlockId first = pool.Allocate().value(), twin = pool.Allocate().value();
  EXPECT_EQ(pool.Publish(first, std::nullopt, tokens), first);
  EXPECT_EQ(pool.Publish(twin, std::nullopt, tokens), first);
  EXPECT_EQ(pool.num_owned(), 1) << "the twin is free again";
  EXPECT_THAT(pool.Match(tokens, 8), ElementsAre(first));
}

TEST(BlockPool, WhatFollowsAnEqualBlockCanBeFound) {
  BlockPool pool(4);
  const std::vector<TokenId> tokens = Tokens(2, 0);
  const BlockId first = pool.Allocate().value(), twin = pool.Allocate().value();
  pool.Publish(first, std::nullopt, BlockOf(tokens, 0));
  const BlockId shared = pool.Publish(twin, std::nullopt, BlockOf(tokens, 0));
  const BlockId child = pool.Allocate().value();
  EXPECT_EQ(pool.Publish(child, shared, BlockOf(tokens, 1)), child);
  for (const BlockId block : {child, shared, first}) pool.Release(block);
  EXPECT_EQ(pool.num_owned(), 0);
  EXPECT_THAT(pool.Match(tokens, 8), ElementsAre(first, child));
}

TEST(BlockPool, ListsWhatCanBeFoundMostRecentlyUsedFirst) {
  BlockPool pool(8);
  const std::vector<TokenId> old_tokens = Tokens(1, 0), tokens = Tokens(2, 1000);
  const std::vector<BlockId> old_blocks = RunSequence(pool, old_tokens);
  const std::vector<BlockId> blocks = RunSequence(pool, tokens);
  const auto ids = [&](int most) {
    std::vector<BlockId> listed;
    for (const PublishedBlock& block : pool.Published(most)) listed.push_back(block.id);
    return listed;
  };
  EXPECT_THAT(ids(8), ElementsAre(blocks[0], blocks[1], old_blocks[0]));
  EXPECT_THAT(ids(2), ElementsAre(blocks[0], blocks[1]));
  EXPECT_EQ(pool.Published(8)[1].parent, 0);
  EXPECT_EQ(pool.Published(8)[2].parent, -1);
  EXPECT_TRUE(std::ranges::equal(pool.Published(8)[1].tokens, BlockOf(tokens, 1)));
  // in use: before all that is only kept, parents still first
  EXPECT_THAT(pool.Match(old_tokens, 1), ElementsAre(old_blocks[0]));
  EXPECT_THAT(ids(8), ElementsAre(old_blocks[0], blocks[0], blocks[1]));
}

TEST(BlockPool, FindsTheChildOfAKnownBlockOnly) {
  BlockPool pool(8);
  const std::vector<TokenId> tokens = Tokens(2, 0);
  const std::vector<BlockId> blocks = RunSequence(pool, tokens);
  EXPECT_EQ(pool.MatchOne(std::nullopt, BlockOf(tokens, 0)), blocks[0]);
  EXPECT_EQ(pool.MatchOne(blocks[0], BlockOf(tokens, 1)), blocks[1]);
  EXPECT_EQ(pool.num_owned(), 2);
  EXPECT_EQ(pool.MatchOne(blocks[1], BlockOf(tokens, 1)), std::nullopt);
  // a block that is not published is not the beginning of a sequence
  EXPECT_EQ(pool.MatchOne(pool.Allocate(), BlockOf(tokens, 0)), std::nullopt);
}

TEST(BlockPool, FindsThePartThatIsTheSame) {
  BlockPool pool(8);
  const std::vector<TokenId> tokens = Tokens(2, 0);
  const std::vector<BlockId> full = RunSequence(pool, tokens);
  std::vector<TokenId> tail = Tokens(1, 500);
  tail.resize(20);
  const BlockId first = pool.MatchOne(std::nullopt, BlockOf(tokens, 0)).value();
  const BlockId part = pool.Allocate().value();
  pool.PublishPart(part, first, tail);
  pool.Release(part);
  tail[15] = -1;
  const auto found = pool.MatchPart(first, tail);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->block, part);
  EXPECT_EQ(found->num_tokens, 15);
  pool.Release(part);
  // a full block has parts too
  const auto of_full = pool.MatchPart(first, BlockOf(tokens, 1).first(30));
  ASSERT_TRUE(of_full);
  EXPECT_EQ(of_full->block, full[1]);
  EXPECT_EQ(of_full->num_tokens, 30);
  pool.Release(full[1]);
  EXPECT_FALSE(pool.MatchPart(std::nullopt, tail));
  EXPECT_EQ(pool.num_owned(), 1);
  EXPECT_EQ(pool.Published(8).size(), 2u) << "parts are not listed";
}

TEST(BlockPool, APartGoesWhenAnotherBlockHoldsMore) {
  BlockPool pool(3);
  const std::vector<TokenId> tokens = Tokens(1, 0);
  const auto keep = [&](size_t num_tokens) {
    const BlockId block = pool.Allocate().value();
    pool.PublishPart(block, std::nullopt, std::span(tokens).first(num_tokens));
    pool.Release(block);
  };
  const auto kept = [&] {
    const auto part = pool.MatchPart(std::nullopt, tokens);
    if (part) pool.Release(part->block);
    return part ? part->num_tokens : 0;
  };
  keep(20);
  keep(10);  // known already
  EXPECT_EQ(kept(), 20);
  keep(30);
  EXPECT_EQ(kept(), 30);
  const BlockId block = pool.Allocate().value();
  pool.Publish(block, std::nullopt, tokens);
  EXPECT_EQ(kept(), 64);
  // only the full block is left: the other two can be had without evicting anything
  pool.Allocate().value();
  pool.Allocate().value();
  EXPECT_EQ(kept(), 64);
  EXPECT_FALSE(pool.Allocate());
}

}  // namespace
}  // namespace hearth
