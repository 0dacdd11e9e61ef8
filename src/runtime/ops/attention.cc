#include "runtime/ops/attention.h"

#include <algorithm>

namespace hearth {

SplitRange SplitsOf(const AttentionTile& tile) {
  const int first = *std::min_element(tile.first, tile.first + tile.num_queries);
  const int end = *std::max_element(tile.end, tile.end + tile.num_queries);
  return {first / kAttentionSplitTokens, (end - 1) / kAttentionSplitTokens + 1};
}

void AttendSplit(const AttentionTile& tile, int split, AttentionState& state) {
  const int first = *std::min_element(tile.first, tile.first + tile.num_queries);
  const int end = *std::max_element(tile.end, tile.end + tile.num_queries);
  const int first_block = std::max(split * kAttentionSplitBlocks, first / kKvBlockTokens);
  const int last_block =
      std::min((split + 1) * kAttentionSplitBlocks, (end - 1) / kKvBlockTokens + 1);
  Kernels().attention(tile, first_block, last_block, state);
}

void AttendAll(const AttentionTile& tile, float* const* out) {
  const KernelTable& kernels = Kernels();
  const SplitRange splits = SplitsOf(tile);
  AttentionState state;
  AttendSplit(tile, splits.first, state);
  for (int split = splits.first + 1; split < splits.last; ++split) {
    AttentionState later;
    AttendSplit(tile, split, later);
    kernels.attention_fold(state, later, tile.num_queries, tile.head_dim);
  }
  kernels.attention_finish(tile.storage, state, tile.num_queries, tile.head_dim, out);
}

}  // namespace hearth
