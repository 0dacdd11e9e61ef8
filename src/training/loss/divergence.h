#pragma once
// One chunk of a loss: logits in, losses per row and their gradients out. Plain tensor arithmetic,
// no autograd. Threads: one at a time.

#include "training/model/torch_compat.h"

namespace hearth::forge {

struct Divergence {
  Tensor per_row;   // [rows] FP32, without temperature^2
  Tensor gradient;  // [rows, vocab] FP32 of temperature^2 * per_row by the student's logits, or
                    // undefined
};

// student, teacher [rows, vocab] FP32 logits; `beta` and the divergence as in head_loss.h.
Divergence TeacherDivergence(const Tensor& student, const Tensor& teacher, double beta,
                             double temperature, bool want_gradient);

}  // namespace hearth::forge
