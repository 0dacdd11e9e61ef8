#include "training/model/kv_cache.h"

#include <cmath>

#include "base/check.h"
#include "training/model/torch_compat_attention.h"

namespace hearth::forge {

KvCache::KvCache(const DecoderConfig& config, int64_t num_layers, int64_t batch, int64_t capacity,
                 const at::TensorOptions& options)
    : batch_(batch), capacity_(capacity) {
  lengths = at::zeros({batch}, options.dtype(at::kLong));
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    // Zeros: what is not written yet is masked, but 0 * NaN would still be NaN.
    const std::vector<int64_t> shape = {batch, config.num_kv_heads, capacity, config.head_dim};
    keys_.push_back(at::zeros(shape, options));
    values_.push_back(at::zeros(shape, options));
  }
}

void KvCache::Begin(int64_t new_tokens) {
  HEARTH_CHECK(used + new_tokens <= capacity_);
  new_tokens_ = new_tokens;
  used += new_tokens;
  positions_ = lengths.unsqueeze(1).add(at::arange(new_tokens, lengths.options()));
  // For a kernel that reads each row to its own length alone, that length is mask enough.
  if (new_tokens == 1 && HasCachedAttention(keys_.front())) {
    mask_ = CachedAttentionLayout(lengths.add(1), keys_.front());
  } else {
    mask_ = at::arange(used, lengths.options()).le(positions_.unsqueeze(-1)).unsqueeze(1);
  }
}

Tensor KvCache::Attend(int64_t layer, const Tensor& q, const Tensor& k, const Tensor& v) {
  Tensor& keys = keys_[static_cast<size_t>(layer)];
  Tensor& values = values_[static_cast<size_t>(layer)];
  const int64_t kv_heads = keys.size(1), dim = keys.size(3), heads = q.size(2);
  const int64_t groups = heads / kv_heads;
  const Tensor places =
      positions_.view({batch_, 1, new_tokens_, 1}).expand({batch_, kv_heads, new_tokens_, dim});
  keys.scatter_(2, places, k.transpose(1, 2));
  values.scatter_(2, places, v.transpose(1, 2));
  if (mask_.dim() == 2)
    return CachedAttention(q.reshape({batch_, heads, dim}), keys, values, mask_).view(q.sizes());
  // The queries of a KV head are rows of one product: its keys are read once for all of them.
  const Tensor queries = q.view({batch_, new_tokens_, kv_heads, groups, dim})
                             .permute({0, 2, 3, 1, 4})
                             .reshape({batch_, kv_heads, groups * new_tokens_, dim});
  Tensor scores = at::matmul(queries, keys.narrow(2, 0, used).transpose(2, 3))
                      .mul_(1.0 / std::sqrt(static_cast<double>(dim)));
  scores = scores.view({batch_, kv_heads, groups, new_tokens_, used})
               .masked_fill(mask_.unsqueeze(1).logical_not(), -INFINITY);
  const Tensor weights = at::softmax(scores, -1, at::kFloat)
                             .to(values.scalar_type())
                             .view({batch_, kv_heads, groups * new_tokens_, used});
  return at::matmul(weights, values.narrow(2, 0, used))
      .view({batch_, kv_heads, groups, new_tokens_, dim})
      .permute({0, 3, 1, 2, 4})
      .reshape({batch_, new_tokens_, heads, dim});
}

void KvCache::Commit(const Tensor& counts) {
  lengths = counts.defined() ? lengths.add(counts) : lengths.add(new_tokens_);
}

void KvCache::Select(const Tensor& rows) {
  batch_ = rows.size(0);
  lengths = lengths.index_select(0, rows);
  for (std::vector<Tensor>* buffers : {&keys_, &values_}) {
    for (Tensor& buffer : *buffers) buffer = buffer.index_select(0, rows);
  }
}

}  // namespace hearth::forge
