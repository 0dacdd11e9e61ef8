#pragma once
// What tasks that train a decoder share: the pass over a batch, its cost, what is trained of it.
// Threads: one at a time.

#include <string>
#include <utility>
#include <vector>

#include "training/model/decoder.h"
#include "training/trainer/device_batch.h"
#include "training/trainer/task.h"

namespace hearth::forge {

// With an adapter its parameters, and the base collects no gradients; else the base's.
std::vector<NamedTensor> TrainableParameters(Decoder& decoder);

// Fits the vocabulary; has a mask where the decoder's adapter is an activated one. Errors:
// kInvalidArgument.
Status CheckBatchFor(const Decoder& decoder, const Batch& batch);

struct PassOptions {
  bool training = false;    // dropout
  bool checkpoint = false;  // activations
  uint64_t seed = 0;
};
// Hidden states of the batch's rows, [num_rows, hidden_size].
Tensor RowsThrough(const Decoder& decoder, const DeviceBatch& batch, const PassOptions& options);

// Of training on the batch: forward, gradients of the inputs, and those of the weights unless an
// adapter alone is trained.
double TrainingFlops(const Decoder& decoder, const Batch& batch);

// The adapter's options and the type, by name.
std::vector<std::pair<std::string, std::string>> DecoderFacts(const Decoder& decoder);

// For a batch of which nothing is learned: sums of 0.
StepFigures NoFigures(const at::Device& device, const std::vector<std::string>& names);

}  // namespace hearth::forge
