#pragma once
// What the trainer learns from: tokens of several sequences laid end to end, and where they come
// from. No torch here: whoever makes batches (packing, tests) needs none.

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace hearth::forge {

// Sequences end to end, without padding: packing costs nothing, since attention never crosses a
// segment and positions restart in each.
struct Batch {
  std::vector<int32_t> tokens;           // [num_tokens]
  std::vector<int32_t> segment_lengths;  // each at least 1, together num_tokens
  // [num_tokens] the token to be predicted at each place; any valid id where its weight is 0 (the
  // last token of a segment).
  std::vector<int32_t> targets;
  std::vector<float> weights;  // [num_tokens] of each place in the loss; 0: nothing to learn
  // [num_tokens] 1 where an activated adapter works, 0 where the base alone does; empty:
  // everywhere.
  std::vector<uint8_t> adapter_mask;

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
};

// Batches by number, so that a run resumes by its step alone and processes divide them without
// talking. Threads: one at a time, not always the same one (the trainer reads ahead).
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // Batches of one pass over the data; at least 1.
  virtual int64_t batches_per_epoch() const = 0;
  // Batch `index` of an endless row of epochs, index / batches_per_epoch() being the epoch (each
  // shuffled its own way). A pure function of the source's options and the index. Errors: what the
  // data's files cause.
  virtual Result<Batch> At(int64_t index) = 0;
};

// Of what it can be sure without a model: sizes agree, ids lie in [0, vocab_size). Errors:
// kInvalidArgument naming the field and the value.
Status CheckBatch(const Batch& batch, int64_t vocab_size);

}  // namespace hearth::forge
