#pragma once
// Keys and values of a batch of sequences for token-by-token decoding: one buffer per layer, a
// place per position. Rows of the batch may have different lengths. For inference: nothing here
// takes part in autograd. Threads: one at a time.

#include <vector>

#include "training/model/decoder_config.h"
#include "training/model/torch_compat.h"

namespace hearth::forge {

class KvCache {
 public:
  KvCache(const DecoderConfig& config, int64_t num_layers, int64_t batch, int64_t capacity,
          const at::TensorOptions& options);

  int64_t batch() const { return batch_; }
  int64_t capacity() const { return capacity_; }
  // [batch] int64 on the device: tokens each row holds. The next ones go to positions from here
  // on. Writable: setting them back is a rollback, 0 frees a row.
  Tensor lengths;
  // No row is longer than this: what attention reads. The host's to keep, so that no pass waits for
  // the device; Begin raises it, a rollback may lower it.
  int64_t used = 0;

  // Makes room for `new_tokens` more in every row and fixes their positions for the pass. Requires:
  // used + new_tokens <= capacity.
  void Begin(int64_t new_tokens);
  // [batch * new_tokens] int64 of the pass begun.
  Tensor positions() const { return positions_.reshape({-1}); }
  // Writes k and v [batch, new_tokens, num_kv_heads, head_dim] of a layer at the pass's positions
  // and attends q [batch, new_tokens, num_heads, head_dim] over all up to its own -> as q.
  Tensor Attend(int64_t layer, const Tensor& q, const Tensor& k, const Tensor& v);
  // After a pass: rows have grown by `counts` ([batch] int64, at most new_tokens), or all by
  // new_tokens. What lies behind a row's length is never read, so prompts of different lengths
  // share a pass padded on the right.
  void Commit(const Tensor& counts = {});
  // Keeps these rows alone, in this order (int64 [n]; may repeat).
  void Select(const Tensor& rows);

  Tensor keys(int64_t layer) const { return keys_[static_cast<size_t>(layer)]; }
  Tensor values(int64_t layer) const { return values_[static_cast<size_t>(layer)]; }

 private:
  int64_t batch_, capacity_, new_tokens_ = 0;
  std::vector<Tensor> keys_, values_;  // [batch, num_kv_heads, capacity, head_dim]
  Tensor positions_;                   // [batch, new_tokens]
  Tensor mask_;  // [batch, 1, new_tokens, used] true where visible; or a CachedAttentionLayout
};

}  // namespace hearth::forge
