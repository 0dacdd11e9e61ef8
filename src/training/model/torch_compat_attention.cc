// Attention in pieces: halves without autograd, and one query over a cache.
//
// With P = exp(q k - log_sum) and D = sum(gradient * out), the gradients of attention are
// dS = P * (gradient v' - D), dq = dS k, dk = dS' q, dv = P' gradient. The keys' part in them is
// the same whichever other keys share the softmax, as long as out and log_sum are those of all:
// that is why a backward pass over some keys can be given the totals. Ring attention rests on it
// too (arXiv:2310.01889).

#include <cmath>
#include <optional>

#include "training/model/torch_compat_attention.h"

namespace hearth::forge {
namespace {

#if HEARTH_TORCH_2
bool UsesFlash(const Tensor& q) {
  const bool half = q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf;
  return q.is_cuda() && half && q.size(-1) % 8 == 0 && q.size(-1) <= 256;
}
#endif

// One segment's tensors, grouped by KV head.
struct Grouped {
  int64_t length, heads, kv_heads, dim;
  double scale;

  Grouped(const Tensor& q, const Tensor& k)
      : length(q.size(0)),
        heads(q.size(1)),
        kv_heads(k.size(1)),
        dim(q.size(2)),
        scale(1.0 / std::sqrt(static_cast<double>(q.size(2)))) {}

  // [length, heads, dim] -> FP32 [kv_heads, groups, length, dim].
  Tensor Queries(const Tensor& x) const {
    return x.to(at::kFloat)
        .reshape({length, kv_heads, heads / kv_heads, dim})
        .permute({1, 2, 0, 3});
  }
  // [length, kv_heads, dim] -> FP32 [kv_heads, 1, length, dim].
  Tensor Keys(const Tensor& x) const { return x.to(at::kFloat).transpose(0, 1).unsqueeze(1); }
  // [kv_heads, groups, length, dim] -> [length, heads, dim].
  Tensor Back(const Tensor& x) const {
    return x.permute({2, 0, 1, 3}).reshape({length, heads, dim});
  }
  Tensor Scores(const Tensor& q, const Tensor& k) const {
    const Tensor hidden =
        at::ones({length, length}, q.options().dtype(at::kBool)).triu_(/*diagonal=*/1);
    return at::matmul(Queries(q), Keys(k).transpose(2, 3))
        .mul_(scale)
        .masked_fill_(hidden, -INFINITY);
  }
};

}  // namespace

PackedAttentionResult PackedAttentionForward(const Tensor& q, const Tensor& k, const Tensor& v,
                                             const std::vector<int64_t>& lengths,
                                             [[maybe_unused]] const Tensor& cu_lengths,
                                             [[maybe_unused]] int64_t max_length) {
  const at::NoGradGuard no_gradients;
  PackedAttentionResult result;
#if HEARTH_TORCH_2
  if (UsesFlash(q)) {
    auto [out, log_sum, rng, unused, mask] = at::_flash_attention_forward(
        q, k, v, cu_lengths, cu_lengths, max_length, max_length, /*dropout_p=*/0.0,
        /*is_causal=*/true, /*return_debug_mask=*/false);
    TORCH_CHECK(log_sum.dim() == 2, "flash attention's log-sum has ", log_sum.dim(),
                " dimensions, expected [heads, tokens]");
    return {out, log_sum, rng, unused};
  }
#endif
  std::vector<Tensor> outs, log_sums;
  int64_t begin = 0;
  for (const int64_t length : lengths) {
    const auto part = [&](const Tensor& x) { return x.narrow(0, begin, length); };
    const Grouped grouped(part(q), part(k));
    const Tensor scores = grouped.Scores(part(q), part(k));
    const Tensor log_sum = at::logsumexp(scores, -1);
    const Tensor weights = scores.sub(log_sum.unsqueeze(-1)).exp_();
    outs.push_back(grouped.Back(at::matmul(weights, grouped.Keys(part(v)))).to(q.scalar_type()));
    log_sums.push_back(log_sum.reshape({grouped.heads, length}));
    begin += length;
  }
  result.out = at::cat(outs, 0);
  result.log_sum = at::cat(log_sums, 1);
  return result;
}

std::array<Tensor, 3> PackedAttentionBackward(const Tensor& gradient, const Tensor& q,
                                              const Tensor& k, const Tensor& v,
                                              const PackedAttentionResult& result,
                                              const std::vector<int64_t>& lengths,
                                              [[maybe_unused]] const Tensor& cu_lengths,
                                              [[maybe_unused]] int64_t max_length) {
  const at::NoGradGuard no_gradients;
#if HEARTH_TORCH_2
  if (UsesFlash(q)) {
    auto [dq, dk, dv] = at::_flash_attention_backward(
        gradient.contiguous(), q, k, v, result.out, result.log_sum, cu_lengths, cu_lengths,
        max_length, max_length, /*dropout_p=*/0.0, /*is_causal=*/true, result.rng, result.unused);
    return {dq, dk, dv};
  }
#endif
  std::array<std::vector<Tensor>, 3> parts;
  int64_t begin = 0;
  for (const int64_t length : lengths) {
    const auto part = [&](const Tensor& x) { return x.narrow(0, begin, length); };
    const Grouped grouped(part(q), part(k));
    const Tensor log_sum =
        result.log_sum.narrow(1, begin, length).reshape({grouped.kv_heads, -1, length, 1});
    const Tensor weights = grouped.Scores(part(q), part(k)).sub_(log_sum).exp_();
    const Tensor above = grouped.Queries(part(gradient));
    const Tensor along = above.mul(grouped.Queries(part(result.out))).sum(-1, /*keepdim=*/true);
    const Tensor by_scores = at::matmul(above, grouped.Keys(part(v)).transpose(2, 3))
                                 .sub_(along)
                                 .mul_(weights)
                                 .mul_(grouped.scale);
    const auto to_keys = [&](const Tensor& x, const Tensor& like) {
      return x.sum(1).transpose(0, 1).to(like.scalar_type());
    };
    parts[0].push_back(
        grouped.Back(at::matmul(by_scores, grouped.Keys(part(k)))).to(q.scalar_type()));
    parts[1].push_back(to_keys(at::matmul(by_scores.transpose(2, 3), grouped.Queries(part(q))), k));
    parts[2].push_back(to_keys(at::matmul(weights.transpose(2, 3), above), v));
    begin += length;
  }
  return {at::cat(parts[0], 0), at::cat(parts[1], 0), at::cat(parts[2], 0)};
}

bool HasCachedAttention([[maybe_unused]] const Tensor& keys) {
#if HEARTH_TORCH_2
  return UsesFlash(keys);
#else
  return false;
#endif
}

// Every KV head of every row is a sequence of its own, of one query with as many heads as share the
// KV head: so the cache need not be laid out anew.
Tensor CachedAttentionLayout(const Tensor& visible, const Tensor& keys) {
  const int64_t batch = keys.size(0), kv_heads = keys.size(1), capacity = keys.size(2);
  const int64_t rows = batch * kv_heads;
  const Tensor starts = at::arange(rows + 1, visible.options());
  const Tensor shown = visible.unsqueeze(1).expand({batch, kv_heads}).reshape({rows});
  return at::stack({starts, starts.mul(capacity), at::constant_pad_nd(shown, {0, 1})}).to(at::kInt);
}

Tensor CachedAttention([[maybe_unused]] const Tensor& q, [[maybe_unused]] const Tensor& keys,
                       [[maybe_unused]] const Tensor& values,
                       [[maybe_unused]] const Tensor& layout) {
#if HEARTH_TORCH_2
  const int64_t batch = keys.size(0), kv_heads = keys.size(1), capacity = keys.size(2),
                dim = keys.size(3), groups = q.size(1) / kv_heads, rows = batch * kv_heads;
  auto result = at::_flash_attention_forward(
      q.reshape({rows, groups, dim}), keys.view({rows * capacity, 1, dim}),
      values.view({rows * capacity, 1, dim}), layout.select(0, 0), layout.select(0, 1), /*max_q=*/1,
      /*max_k=*/capacity, /*dropout_p=*/0.0, /*is_causal=*/false, /*return_debug_mask=*/false,
      /*scale=*/std::nullopt, /*window_size_left=*/std::nullopt,
      /*window_size_right=*/std::nullopt, /*seqused_k=*/layout.select(0, 2).narrow(0, 0, rows));
  return std::get<0>(result).reshape({batch, kv_heads * groups, dim});
#else
  TORCH_CHECK(false, "no attention over a cache in this libtorch");
#endif
}

}  // namespace hearth::forge
