#pragma once
// Arithmetic of a decoder's passes, and what devices can do at most: together the share of the peak
// that a run reaches. No torch. A multiply-add counts as two operations; norms, activations and the
// softmax as none. Threads: plain functions.

#include <cstdint>
#include <string_view>
#include <vector>

#include "training/model/decoder_config.h"

namespace hearth::forge {

struct DecoderFlops {
  double linears = 0;    // of the layers' matrices
  double attention = 0;  // scores and values, causal
  double head = 0;       // of the rows that reach it
  double sum() const { return linears + attention + head; }
};

// One forward pass over segments of these lengths; `head_rows` of the rows go through the head.
// A backward pass takes as much again for gradients of inputs, and as much again for those of
// weights where they are trained.
DecoderFlops ForwardFlops(const DecoderConfig& config, const std::vector<int32_t>& lengths,
                          int64_t head_rows);

// Of a device by its name, per second, dense: BF16 with FP32 sums on its matrix units, or plain
// FP32. 0: not known. Source: the vendor's data sheets.
double PeakFlops(std::string_view device_name, bool bf16);

}  // namespace hearth::forge
