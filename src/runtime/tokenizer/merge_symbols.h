#pragma once
// The heart of BPE: symbols in a row, of which the best-ranked adjacent pair is joined until no
// pair can be. Shared by byte-level BPE, whose ranks are places in a list of merges, and
// SentencePiece, whose ranks come from token scores. Time: n log n in the number of symbols; at
// most 3 n calls of `find_merge`.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <vector>

#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

struct Symbol {
  TokenId token;   // -1 where the vocabulary has none
  uint32_t begin;  // into the text being split
  uint32_t size_bytes;
};

struct Merge {
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
  uint32_t rank = kNone;  // lower goes first; equal ranks go from left to right
  TokenId token = -1;     // what the pair becomes
};

// Reusable working memory, so that a text of many words allocates once. One thread at a time.
class SymbolMerger {
 public:
  void Clear() { nodes_.clear(); }
  void Add(const Symbol& symbol) { nodes_.push_back({symbol, {}, 0, 0}); }

  // Joins what can be joined; `find_merge(left, right)` says what a pair becomes, and must not
  // depend on anything else. Then calls `emit(symbol)` for each that remains, in order.
  template <typename FindMerge, typename Emit>
  void Run(FindMerge&& find_merge, Emit&& emit);

 private:
  struct Node {
    Symbol symbol;
    Merge merge;  // with the node to the right
    uint32_t previous;
    uint32_t next;
  };
  static constexpr uint32_t kEnd = std::numeric_limits<uint32_t>::max();
  // Below this, searching the whole row for the best pair beats keeping a heap (measured on English
  // and Chinese text).
  static constexpr size_t kMaxScanned = 32;

  static void Join(Node& left, const Node& right) {
    left.symbol.token = left.merge.token;
    left.symbol.size_bytes += right.symbol.size_bytes;
  }
  template <typename FindMerge>
  void MergeByScan(FindMerge&& find_merge);
  template <typename FindMerge>
  void MergeByHeap(FindMerge&& find_merge);

  std::vector<Node> nodes_;
};

template <typename FindMerge, typename Emit>
void SymbolMerger::Run(FindMerge&& find_merge, Emit&& emit) {
  for (size_t index = 0; index + 1 < nodes_.size(); ++index) {
    nodes_[index].merge = find_merge(nodes_[index].symbol, nodes_[index + 1].symbol);
  }
  if (nodes_.size() <= kMaxScanned) {
    MergeByScan(find_merge);
    for (const Node& node : nodes_) emit(node.symbol);
  } else {
    MergeByHeap(find_merge);
    for (uint32_t index = 0; index != kEnd; index = nodes_[index].next) emit(nodes_[index].symbol);
  }
}

template <typename FindMerge>
void SymbolMerger::MergeByScan(FindMerge&& find_merge) {
  while (nodes_.size() > 1) {
    size_t best = 0;
    for (size_t index = 1; index + 1 < nodes_.size(); ++index) {
      if (nodes_[index].merge.rank < nodes_[best].merge.rank) best = index;
    }
    if (nodes_[best].merge.rank == Merge::kNone) return;
    Join(nodes_[best], nodes_[best + 1]);
    nodes_.erase(nodes_.begin() + static_cast<ptrdiff_t>(best) + 1);
    nodes_[best].merge = best + 1 < nodes_.size()
                             ? find_merge(nodes_[best].symbol, nodes_[best + 1].symbol)
                             : Merge{};
    if (best > 0) nodes_[best - 1].merge = find_merge(nodes_[best - 1].symbol, nodes_[best].symbol);
  }
}

template <typename FindMerge>
void SymbolMerger::MergeByHeap(FindMerge&& find_merge) {
  // An entry is rank over position: the order in which merges happen. One that no longer matches
  // its node is stale.
  std::vector<uint64_t> entries;
  const auto entry_of = [&](uint32_t index) {
    return static_cast<uint64_t>(nodes_[index].merge.rank) << 32 | index;
  };
  for (uint32_t index = 0; index < nodes_.size(); ++index) {
    nodes_[index].previous = index == 0 ? kEnd : index - 1;
    nodes_[index].next = index + 1 == nodes_.size() ? kEnd : index + 1;
    if (nodes_[index].merge.rank != Merge::kNone) entries.push_back(entry_of(index));
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> heap(std::greater<>(),
                                                                            std::move(entries));
  const auto update = [&](uint32_t index) {
    const uint32_t next = nodes_[index].next;
    nodes_[index].merge =
        next == kEnd ? Merge{} : find_merge(nodes_[index].symbol, nodes_[next].symbol);
    if (nodes_[index].merge.rank != Merge::kNone) heap.push(entry_of(index));
  };
  while (!heap.empty()) {
    const uint64_t entry = heap.top();
    heap.pop();
    const auto index = static_cast<uint32_t>(entry);
    Node& node = nodes_[index];
    // stale; a node that was joined away has rank kNone
    if (node.merge.rank != entry >> 32) continue;
    Node& right = nodes_[node.next];
    Join(node, right);
    right.merge = {};
    node.next = right.next;
    if (node.next != kEnd) nodes_[node.next].previous = index;
    update(index);
    if (node.previous != kEnd) update(node.previous);
  }
}

}  // namespace hearth
