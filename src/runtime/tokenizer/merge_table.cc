#include "runtime/tokenizer/merge_table.h"

#include <algorithm>
#include <bit>
#include <string_view>

namespace hearth {
namespace {

Error BadMerge(size_t index, std::string_view merge, std::string_view why) {
  return {ErrorCode::kCorrupt, "tokenizer: merge " + std::to_string(index) + ", '" +
                                   std::string(merge) + "', " + std::string(why)};
}

}  // namespace

Result<MergeTable> MergeTable::Build(std::span<const std::string> merges, const Vocab& vocab) {
  MergeTable table;
  table.slots_.resize(std::bit_ceil(std::max<size_t>(merges.size() * 2, 2)));
  table.mask_ = table.slots_.size() - 1;

  std::string joined;
  TokenId previous = -1;
  for (size_t index = 0; index < merges.size(); ++index) {
    const std::string_view merge = merges[index];
    // No spelling has a space in it; searching from 1 lets a lone space through to the error below.
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      return tl::unexpected(BadMerge(index, merge, "is not two tokens with a space between"));
    }
    const std::string_view left_text = merge.substr(0, space);
    const std::string_view right_text = merge.substr(space + 1);
    joined.assign(left_text).append(right_text);

    const auto left = vocab.Find(left_text);
    const auto right = vocab.Find(right_text);
    // Most vocabularies list tokens in the order of the merges that make them, so the next id is a
    // good guess.
    const TokenId guess = previous + 1;
    const auto token =
        guess < vocab.size() && vocab.Text(guess) == joined ? guess : vocab.Find(joined);
    if (!left || !right || !token) {
      return tl::unexpected(BadMerge(index, merge, "names a token that the vocabulary lacks"));
    }
    previous = *token;
    if (vocab.IsOrdinary(*token))
      table.Insert(*left, *right, {static_cast<uint32_t>(index), *token});
  }
  return table;
}

void MergeTable::Insert(TokenId left, TokenId right, Merge merge) {
  const uint64_t key = KeyOf(left, right);
  size_t slot = SlotOf(key);
  for (; slots_[slot].merge.rank != Merge::kNone; slot = (slot + 1) & mask_) {
    if (slots_[slot].key == key) return;
  }
  slots_[slot] = {key, merge};
}

}  // namespace hearth
