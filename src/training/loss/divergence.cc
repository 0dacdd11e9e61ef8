#include "training/loss/divergence.h"

#include <cmath>

namespace hearth::forge {
namespace {

// sum over the vocabulary of p * (log p - log r). A probability that is 0 counts for nothing,
// whatever the logarithms say.
Tensor KlRows(const Tensor& p, const Tensor& log_p, const Tensor& log_r) {
  return log_p.sub(log_r).mul_(p).nan_to_num_(0.0).sum(-1);
}

// From the gradient by the student's probabilities to that by its logits, through the softmax:
// T * q * (g - sum(q g)), where 1/T is the softmax's own and T^2 the loss's.
Tensor ThroughSoftmax(Tensor gradient, const Tensor& q, const Tensor& sum, double temperature) {
  return gradient.sub_(sum.unsqueeze(-1)).mul_(q).nan_to_num_(0.0).mul_(temperature);
}

}  // namespace

Divergence TeacherDivergence(const Tensor& student, const Tensor& teacher, double beta,
                             double temperature, bool want_gradient) {
  const auto log_probabilities = [temperature](const Tensor& logits) {
    return at::log_softmax(temperature == 1 ? logits : logits.mul(1 / temperature), -1);
  };
  const Tensor log_q = log_probabilities(student), log_t = log_probabilities(teacher);
  const Tensor t = beta < 1 ? log_t.exp() : Tensor();
  const Tensor q = beta > 0 || want_gradient ? log_q.exp() : Tensor();
  Divergence result;
  if (beta <= 0) {
    result.per_row = KlRows(t, log_t, log_q);
    if (want_gradient) result.gradient = q.sub(t).mul_(temperature);
    return result;
  }
  // d/dq of both terms together is (1 - beta) * (log q - log m): the rest is the same for all
  // tokens, and the softmax takes it out. Reverse KL is the same with m = teacher and factor 1.
  const bool reverse = beta >= 1;
  const Tensor log_m =
      reverse ? log_t : at::logaddexp(log_t.add(std::log(beta)), log_q.add(std::log1p(-beta)));
  const double share = reverse ? 1 : 1 - beta;
  const Tensor student_part = KlRows(q, log_q, log_m).mul_(share);
  result.per_row = reverse ? student_part : student_part.add(KlRows(t, log_t, log_m), beta);
  if (want_gradient)
    result.gradient = ThroughSoftmax(log_q.sub(log_m).mul_(share), q, student_part, temperature);
  return result;
}

}  // namespace hearth::forge
