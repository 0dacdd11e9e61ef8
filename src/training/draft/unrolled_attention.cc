#include "training/draft/unrolled_attention.h"

#include <cmath>

#include "training/model/torch_compat_attention.h"

namespace hearth::forge {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A row's own keys and values, in FP32 and grouped by KV head.
struct Own {
  Tensor queries;  // [rows, kv_heads, groups, dim]
  Tensor keys;     // [rows, kv_heads, steps, dim]
  Tensor values;   // likewise
  double scale;

  Own(const Tensor& q, const Tensor& k, const Tensor& v)
      : queries(Grouped(q, k.size(2))),
        keys(k.to(at::kFloat).transpose(1, 2)),
        values(v.to(at::kFloat).transpose(1, 2)),
        scale(1.0 / std::sqrt(static_cast<double>(q.size(2)))) {}

  static Tensor Grouped(const Tensor& x, int64_t kv_heads) {
    return x.to(at::kFloat).reshape({x.size(0), kv_heads, x.size(1) / kv_heads, x.size(2)});
  }
  // [rows, kv_heads, groups, steps].
  Tensor Scores() const { return OverDim(queries, keys).mul_(scale); }
  // Products so small that a pass over memory beats a batch of matrix products:
  // a [.., groups, dim] with b [.., steps, dim] -> [.., groups, steps],
  static Tensor OverDim(const Tensor& a, const Tensor& b) {
    return a.unsqueeze(3).mul(b.unsqueeze(2)).sum(-1);
  }
  // w [.., groups, steps] with b [.., steps, dim] -> [.., groups, dim],
  static Tensor OverSteps(const Tensor& w, const Tensor& b) {
    return w.unsqueeze(-1).mul(b.unsqueeze(2)).sum(3);
  }
  // w [.., groups, steps] with a [.., groups, dim] -> [.., steps, dim].
  static Tensor OverGroups(const Tensor& w, const Tensor& a) {
    return w.unsqueeze(-1).mul(a.unsqueeze(3)).sum(2);
  }
  // [heads, rows] -> [rows, kv_heads, groups, 1].
  Tensor ByRow(const Tensor& x) const {
    return x.t().reshape({queries.size(0), queries.size(1), queries.size(2), 1});
  }
};

class UnrolledFunction : public torch::autograd::Function<UnrolledFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& base_keys,
                        const Tensor& base_values, const Tensor& own_keys, const Tensor& own_values,
                        const Tensor& cu_lengths, const SegmentLayout* segments) {
    PackedAttentionResult base = PackedAttentionForward(
        q, base_keys, base_values, segments->lengths, cu_lengths, segments->max_length);
    const Own own(q, own_keys, own_values);
    const Tensor scores = own.Scores();
    const Tensor base_sum = own.ByRow(base.log_sum);
    const Tensor sum = at::logaddexp(base_sum, scores.logsumexp(-1, /*keepdim=*/true));
    const Tensor out = Own::Grouped(base.out, own.keys.size(1))
                           .mul(base_sum.sub(sum).exp_())
                           .add_(Own::OverSteps(scores.sub(sum).exp_(), own.values))
                           .reshape(q.sizes())
                           .to(q.scalar_type());
    const Tensor log_sum = sum.reshape({q.size(0), q.size(1)}).t().contiguous();
    context->save_for_backward({q, base_keys, base_values, own_keys, own_values, cu_lengths, out,
                                log_sum, base.rng, base.unused});
    context->saved_data["lengths"] = segments->lengths;
    context->saved_data["max_length"] = segments->max_length;
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &q = saved[0], &out = saved[6];
    const Tensor gradient = gradients[0].contiguous();
    const auto base = PackedAttentionBackward(gradient, q, saved[1], saved[2],
                                              {out, saved[7], saved[8], saved[9]},
                                              context->saved_data["lengths"].toIntVector(),
                                              saved[5], context->saved_data["max_length"].toInt());
    const Own own(q, saved[3], saved[4]);
    const int64_t kv_heads = own.keys.size(1);
    const Tensor above = Own::Grouped(gradient, kv_heads);
    const Tensor weights = own.Scores().sub_(own.ByRow(saved[7])).exp_();
    const Tensor along = above.mul(Own::Grouped(out, kv_heads)).sum(-1, /*keepdim=*/true);
    const Tensor by_scores =
        Own::OverDim(above, own.values).sub_(along).mul_(weights).mul_(own.scale);
    const auto to_own = [](const Tensor& x, const Tensor& like) {
      return x.transpose(1, 2).to(like.scalar_type());
    };
    const Tensor by_q = Own::OverSteps(by_scores, own.keys).reshape(q.sizes()).add_(base[0]);
    return {by_q.to(q.scalar_type()),
            base[1],
            base[2],
            to_own(Own::OverGroups(by_scores, own.queries), saved[3]),
            to_own(Own::OverGroups(weights, above), saved[4]),
            Tensor(),
            Tensor()};
  }
};

}  // namespace

Tensor UnrolledAttention(const Tensor& q, const Tensor& base_keys, const Tensor& base_values,
                         const Tensor& own_keys, const Tensor& own_values,
                         const SegmentLayout& segments) {
  return UnrolledFunction::apply(q, base_keys, base_values, own_keys, own_values,
                                 segments.cu_lengths, &segments);
}

}  // namespace hearth::forge
