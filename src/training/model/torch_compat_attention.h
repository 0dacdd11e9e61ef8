#pragma once
// Attention in pieces, in the kernels that this libtorch has: the halves of a pass, for those who
// add keys of their own, and one query over a cache. Part of torch_compat.h. Threads: one at a
// time.

#include <array>
#include <vector>

#include "training/model/torch_compat.h"

namespace hearth::forge {

// PackedCausalAttention in two halves without autograd, for callers that give the queries more keys
// than these: `log_sum` is what out's softmax was divided by, and a backward pass that gets the out
// and log_sum of all keys together gives this part's share of the gradients
// (torch_compat_attention.cc).
struct PackedAttentionResult {
  Tensor out;          // as q
  Tensor log_sum;      // FP32 [num_heads, tokens]
  Tensor rng, unused;  // flash attention's own
};
PackedAttentionResult PackedAttentionForward(const Tensor& q, const Tensor& k, const Tensor& v,
                                             const std::vector<int64_t>& lengths,
                                             const Tensor& cu_lengths, int64_t max_length);
// -> gradients of q, k and v, as those.
std::array<Tensor, 3> PackedAttentionBackward(const Tensor& gradient, const Tensor& q,
                                              const Tensor& k, const Tensor& v,
                                              const PackedAttentionResult& result,
                                              const std::vector<int64_t>& lengths,
                                              const Tensor& cu_lengths, int64_t max_length);

// One new query per sequence over a cache, in a kernel that reads no more of each row than it
// holds. Only where HasCachedAttention says so (CUDA, BF16 or F16).
// q [batch, num_heads, head_dim], keys and values [batch, num_kv_heads, capacity, head_dim] -> as
// q. `layout` is made once for all layers, of visible int64 [batch]: the places each row shows.
bool HasCachedAttention(const Tensor& keys);
Tensor CachedAttentionLayout(const Tensor& visible, const Tensor& keys);  // int32 [3, n]
Tensor CachedAttention(const Tensor& q, const Tensor& keys, const Tensor& values,
                       const Tensor& layout);

}  // namespace hearth::forge
