#pragma once
// Weights rounded to a block format and back, as the file will hold them, while gradients pass as
// though nothing had happened (straight-through): so that training ends with weights that bear
// their rounding. Source: Jacob et al. 2017, arXiv:1712.05877; the rounding is quant/'s.
// Threads: pure function.

#include "runtime/quant/tensor_type.h"
#include "training/model/torch_compat.h"

namespace hearth::forge {

// Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 can; other types are taken as they are.
bool CanFakeQuantize(TensorType type);
// weight [rows, columns] -> of the same values as QuantizeRow and DequantizeRow would give, in the
// weight's type; as it is for other types and rows that are no multiple of 32.
Tensor FakeQuantize(const Tensor& weight, TensorType type);

}  // namespace hearth::forge
