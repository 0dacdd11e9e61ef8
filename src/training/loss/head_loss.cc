#include "training/loss/head_loss.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "training/loss/divergence.h"

namespace hearth::forge {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Everything of a call that is not a differentiable input, and where its results go.
struct Work {
  Tensor targets, weights;
  HeadLossOptions options;
  TeacherOutputs teacher;
  int64_t chunk_rows = 0;
  bool want_hidden = false, want_head = false;  // gradients
  HeadLossResult* result = nullptr;
};

struct Gradients {
  Tensor hidden;  // as hidden
  Tensor head;    // FP32, as head
};

// The loss of rows [begin, begin + count) and its gradient by their logits, not yet weighted, in
// the type of the hidden states; undefined where nobody wants it.
Tensor RunChunk(const Work& work, const Tensor& hidden, const Tensor& head, int64_t begin,
                int64_t count) {
  const HeadLossOptions& options = work.options;
  const bool want = work.want_hidden || work.want_head;
  const Tensor targets = work.targets.narrow(0, begin, count).unsqueeze(-1);
  Tensor logits = MatmulToFloat(hidden, head.t());
  if (options.count_correct)
    work.result->correct.narrow(0, begin, count)
        .copy_(logits.argmax(-1, true).eq(targets).view(-1));
  Tensor distilled;
  if (options.distillation != 0) {
    const Tensor teacher_hidden = work.teacher.hidden.narrow(0, begin, count);
    const int64_t common = std::min(head.size(0), work.teacher.head.size(0));
    const Tensor theirs = MatmulToFloat(teacher_hidden, work.teacher.head.narrow(0, 0, common).t());
    Divergence divergence = TeacherDivergence(logits.narrow(1, 0, common), theirs, options.beta,
                                              options.temperature, want);
    work.result->divergence.narrow(0, begin, count).copy_(divergence.per_row);
    if (want) {
      distilled = divergence.gradient.mul_(options.distillation);
      if (common < head.size(0))
        distilled = at::constant_pad_nd(distilled, {0, head.size(0) - common});
    }
  }
  if (options.cross_entropy == 0) return want ? distilled.to(hidden.scalar_type()) : Tensor();

  const Tensor log_p = at::log_softmax(logits, -1);
  logits.reset();
  const Tensor of_target = log_p.gather(1, targets);
  work.result->cross_entropy.narrow(0, begin, count).copy_(of_target.neg().view(-1));
  if (!want) return Tensor();
  if (distilled.defined()) {
    const Tensor at_target =
        distilled.gather(1, targets).add_(of_target.expm1(), options.cross_entropy);
    distilled.add_(log_p.exp(), options.cross_entropy).scatter_(1, targets, at_target);
    return distilled.to(hidden.scalar_type());
  }
  // p everywhere, p - 1 at the target, which must not be rounded before 1 is taken away.
  Tensor gradient = at::empty(log_p.sizes(), hidden.options());
  at::exp_out(gradient, log_p);
  gradient.scatter_(1, targets, of_target.expm1().to(gradient.scalar_type()));
  return options.cross_entropy == 1 ? gradient : gradient.mul_(options.cross_entropy);
}

// Weights go to the small factors of the products instead of the gradient by the logits.
Gradients RunAll(const Work& work, const Tensor& hidden, const Tensor& head) {
  Gradients gradients;
  const int64_t rows = hidden.size(0);
  if (work.want_hidden) gradients.hidden = at::empty(hidden.sizes(), hidden.options());
  if (work.want_head) gradients.head = at::zeros(head.sizes(), head.options().dtype(at::kFloat));
  for (int64_t begin = 0; begin < rows; begin += work.chunk_rows) {
    const int64_t count = std::min(work.chunk_rows, rows - begin);
    const Tensor part = hidden.narrow(0, begin, count);
    const Tensor by_logits = RunChunk(work, part, head, begin, count);
    if (!by_logits.defined()) continue;
    const Tensor weights =
        work.weights.narrow(0, begin, count).unsqueeze(-1).to(hidden.scalar_type());
    if (work.want_hidden) {
      Tensor out = gradients.hidden.narrow(0, begin, count);
      at::mm_out(out, by_logits, head);
      out.mul_(weights);
    }
    if (work.want_head) AddMatmulToFloat(gradients.head, by_logits.t(), part.mul(weights));
  }
  return gradients;
}

Tensor Total(const Work& work) {
  const HeadLossOptions& options = work.options;
  Tensor total = at::zeros({}, work.weights.options());
  if (options.cross_entropy != 0)
    total = total.add(work.result->cross_entropy.mul(work.weights).sum(), options.cross_entropy);
  if (options.distillation != 0)
    total = total.add(work.result->divergence.mul(work.weights).sum(),
                      options.distillation * options.temperature * options.temperature);
  return total;
}

class HeadLossFunction : public torch::autograd::Function<HeadLossFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& head,
                        const Work* work) {
    Gradients gradients = RunAll(*work, hidden, head);
    context->save_for_backward({gradients.hidden, gradients.head});
    context->saved_data["head_type"] = static_cast<int64_t>(head.scalar_type());
    return Total(*work);
  }

  static variable_list backward(AutogradContext* context, variable_list above) {
    const auto saved = context->get_saved_variables();
    Tensor hidden, head;
    if (saved[0].defined()) hidden = saved[0].mul(above[0]);
    if (saved[1].defined()) {
      const auto type = static_cast<at::ScalarType>(context->saved_data["head_type"].toInt());
      head = at::empty(saved[1].sizes(), saved[1].options().dtype(type));
      at::mul_out(head, saved[1], above[0]);
    }
    return {hidden, head, Tensor()};
  }
};

}  // namespace

int64_t HeadChunkRows(int64_t vocab_size, const at::Device& device) {
  const int64_t budget = device.is_cuda() ? int64_t{2} << 30 : int64_t{64} << 20;
  const int64_t rows = budget / (vocab_size * static_cast<int64_t>(sizeof(float)));
  return std::max<int64_t>(16, rows / 16 * 16);
}

HeadLossResult HeadLoss(const Tensor& hidden, const Tensor& head, const Tensor& targets,
                        const Tensor& weights, const HeadLossOptions& options,
                        const TeacherOutputs& teacher) {
  const int64_t rows = hidden.size(0);
  HEARTH_CHECK(hidden.dim() == 2 && head.dim() == 2 && hidden.size(1) == head.size(1));
  HEARTH_CHECK(targets.dim() == 1 && targets.size(0) == rows);
  HEARTH_CHECK(options.distillation == 0 || (teacher.defined() && teacher.hidden.size(0) == rows));
  HEARTH_CHECK(options.temperature > 0);
  const auto floats = hidden.options().dtype(at::kFloat).requires_grad(false);
  HeadLossResult result;
  Work work;
  work.targets = targets;
  work.weights = weights.defined() ? weights.to(at::kFloat) : at::ones({rows}, floats);
  HEARTH_CHECK(work.weights.dim() == 1 && work.weights.size(0) == rows);
  work.options = options;
  if (teacher.defined()) work.teacher = {teacher.hidden.detach(), teacher.head.detach()};
  work.chunk_rows =
      options.chunk_rows > 0 ? options.chunk_rows : HeadChunkRows(head.size(0), head.device());
  const bool gradients = at::GradMode::is_enabled();
  work.want_hidden = gradients && hidden.requires_grad();
  work.want_head = gradients && head.requires_grad();
  work.result = &result;
  if (options.cross_entropy != 0) result.cross_entropy = at::empty({rows}, floats);
  if (options.distillation != 0) result.divergence = at::empty({rows}, floats);
  if (options.count_correct) result.correct = at::empty({rows}, floats);
  if (work.want_hidden || work.want_head) {
    result.loss = HeadLossFunction::apply(hidden, head, static_cast<const Work*>(&work));
  } else {
    const at::NoGradGuard guard;
    RunAll(work, hidden, head);
    result.loss = Total(work);
  }
  return result;
}

}  // namespace hearth::forge
