#pragma once
// Keys that several kinds of stages share, with Axolotl's names. No torch.

#include <string>
#include <string_view>
#include <vector>

#include "runtime/quant/tensor_type.h"
#include "training/recipe/stage.h"

namespace hearth::forge {

// Where the model runs: device, bf16.
std::vector<KeySpec> DeviceKeys();
// datasets, sequence_len, micro_batch_size, val_set_size, ...: rows to learn from.
std::vector<KeySpec> DataKeys(double val_set_size);
// Length, optimiser, schedule, checkpoints, seed.
std::vector<KeySpec> OptimizerKeys(double learning_rate);
// lora_r and its like.
std::vector<KeySpec> LoraKeys();

std::vector<KeySpec> Joined(std::initializer_list<std::vector<KeySpec>> parts);

// The outputs that every training stage has behind its own.
std::vector<OutputSpec> TrainingOutputs(std::vector<OutputSpec> own);

// What the keys above say about each other.
Status CheckTrainingKeys(const Parameters& parameters);

// Numbers of layers, which are words in a recipe: [2, 15, 29]; none where the key is not there.
// Errors: kInvalidArgument naming the word.
Result<std::vector<int>> LayersOf(const Parameters& parameters, std::string_view key);
// Requires: the key's choices are names of types.
TensorType TypeOfKey(const Parameters& parameters, std::string_view key);

// Whether the rows of each dataset are of the type that the recipe says; "auto" is always right.
// Errors: kInvalidArgument naming the file, its type and the recipe's; those of the file.
Status CheckDatasetTypes(const StageContext& context);

// The first rows of a file as samples for the report. Errors: those of writing.
Status WriteSamples(const std::string& rows, const std::string& path, int num_samples = 8);

}  // namespace hearth::forge
