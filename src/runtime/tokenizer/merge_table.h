#pragma once
// Which two tokens merge into which, and in what order. Threads: immutable after construction.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/tokenizer/hash.h"
#include "runtime/tokenizer/merge_symbols.h"
#include "runtime/tokenizer/vocab.h"

namespace hearth {

class MergeTable {
 public:
  // `merges` are "left right", best first; the first of two equal ones counts. Merges into control
  // tokens are left out: user text must not become one. Errors: kCorrupt (no space, or one of the
  // three tokens is not in the vocabulary).
  static Result<MergeTable> Build(std::span<const std::string> merges, const Vocab& vocab);

  Merge Find(TokenId left, TokenId right) const {
    const uint64_t key = KeyOf(left, right);
    for (size_t slot = SlotOf(key); slots_[slot].merge.rank != Merge::kNone;
         slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) return slots_[slot].merge;
    }
    return {};
  }

 private:
  struct Slot {
    uint64_t key = 0;
    Merge merge;  // rank kNone when empty
  };

  static uint64_t KeyOf(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t SlotOf(uint64_t key) const {
    return MixHash(key ^ 0xD6E8FEB86659FD93, kHashMultiplier) & mask_;
  }
  void Insert(TokenId left, TokenId right, Merge merge);

  std::vector<Slot> slots_;  // open addressing, linear probing, at most half full
  size_t mask_ = 0;
};

}  // namespace hearth
