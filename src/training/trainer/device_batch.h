#pragma once
// A batch's tensors on the device of a task, and the rows of it that reach the head: those with a
// weight. Threads: one at a time.

#include <vector>

#include "training/data/batch.h"
#include "training/model/layers.h"
#include "training/model/torch_compat.h"

namespace hearth::forge {

struct DeviceBatch {
  Tensor tokens;  // int64 [num_tokens]
  SegmentLayout segments;
  Tensor adapter_mask;  // uint8 [num_tokens], or undefined
  Tensor rows;          // int64 [num_rows]: places whose weight is not 0
  Tensor targets;       // int64 [num_rows]
  Tensor weights;       // FP32 [num_rows]
  double weight = 0;    // their sum
  int64_t num_rows() const { return rows.size(0); }
};

// Copies without waiting for the device. Requires: a batch that CheckBatch passes.
DeviceBatch ToDevice(const Batch& batch, const at::Device& device);
// How many places have a weight.
int64_t CountRows(const Batch& batch);

}  // namespace hearth::forge
