#pragma once
// Attention of one query tile over its whole context, split by split.
// Threads: pure functions over their arguments.

#include "runtime/kernels/kernels.h"

namespace hearth {

// The splits that the tile's queries see: [first, last).
struct SplitRange {
  int first = 0;
  int last = 0;
};
SplitRange SplitsOf(const AttentionTile& tile);

// One split of the tile into `state`.
void AttendSplit(const AttentionTile& tile, int split, AttentionState& state);
// All splits, one after the other. out[query][head_dim].
void AttendAll(const AttentionTile& tile, float* const* out);

}  // namespace hearth
