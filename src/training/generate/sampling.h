#pragma once
// Logits -> tokens for a whole batch on the device, each row with settings and noise of its own.
// Threads: pure function.

#include "training/model/torch_compat.h"

namespace hearth::forge {

struct SamplingInputs {
  Tensor temperature;  // FP32 [rows]; 0: the likeliest token
  Tensor noise;        // FP32 [rows], from [0, 1): the quantile drawn
  // FP32 [rows]: drawn from the fewest likeliest tokens that make up this share; undefined: from
  // all, which spares sorting.
  Tensor top_p;
};

// logits FP32 [rows, vocab_size] -> int64 [rows]. Of equal logits the lowest id wins.
Tensor SampleTokens(const Tensor& logits, const SamplingInputs& inputs);

}  // namespace hearth::forge
