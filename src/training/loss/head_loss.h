#pragma once
// Losses behind a language-model head whose logits are never whole: rows go through the head chunk
// by chunk, and what the backward pass needs (the gradients of the hidden states and of the head)
// is made in the same sweep, so each chunk's logits are computed once and dropped.
//
// Per row: cross_entropy * CE(target) + distillation * temperature^2 * D(teacher, student), where
// both sides of D are softmaxes of logits / temperature and D is, by `beta`:
//   0           forward KL, KL(teacher | student)
//   between     the generalised Jensen-Shannon divergence of arXiv:2306.13649 (as TRL has it):
//               beta * KL(teacher | m) + (1 - beta) * KL(student | m),
//               m = beta * teacher + (1 - beta) * student
//   1           reverse KL, KL(student | teacher)
// The factor temperature^2 keeps the size of the gradients (arXiv:1503.02531).
// Threads: one at a time.

#include <cstdint>

#include "training/model/torch_compat.h"

namespace hearth::forge {

struct HeadLossOptions {
  double cross_entropy = 1;  // its share of the loss; 0 skips it
  double distillation = 0;   // its share; needs a teacher
  double beta = 0;           // 0 to 1, see above
  double temperature = 1;
  bool count_correct = false;  // fills HeadLossResult::correct, one more look at the logits
  int64_t chunk_rows = 0;      // 0: what fits a fixed budget, see HeadChunkRows
};

// Live teacher: its logits are made chunk by chunk too. Sizes of hidden states may differ from the
// student's; rows of the heads mean the same tokens. Where one head has more rows than the other
// (padding of the vocabulary), the divergence is over those that both have. No gradients.
struct TeacherOutputs {
  Tensor hidden;  // [num_rows, teacher_hidden_size] behind the teacher's final norm
  Tensor head;    // [teacher_vocab_size, teacher_hidden_size]
  bool defined() const { return hidden.defined(); }
};

struct HeadLossResult {
  Tensor loss;  // scalar FP32: sum of weight * loss over the rows; takes part in autograd
  // The rest is for reports: FP32 [num_rows], no gradients, without weights and shares; undefined
  // where its share is 0 (and there are no rows to speak of).
  Tensor cross_entropy;
  Tensor divergence;  // without temperature^2
  Tensor correct;     // 1 where the likeliest token is the target
};

// hidden [num_rows, hidden_size] behind the final norm, head [vocab_size, hidden_size] of the same
// type, targets int64 [num_rows] in [0, vocab_size) even where the weight is 0, weights FP32
// [num_rows] (undefined: all 1). Divide the weights, not the loss, to average.
// Only what asks for gradients gets them; without any (evaluation) none are made.
// Requires: shapes as said; a teacher where distillation is not 0.
HeadLossResult HeadLoss(const Tensor& hidden, const Tensor& head, const Tensor& targets,
                        const Tensor& weights, const HeadLossOptions& options = {},
                        const TeacherOutputs& teacher = {});

// Rows per chunk whose logits take at most 64 MiB on a CPU, 2 GiB on a GPU, where larger products
// also spare passes over the head's gradient.
int64_t HeadChunkRows(int64_t vocab_size, const at::Device& device);

}  // namespace hearth::forge
