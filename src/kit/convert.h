#pragma once
// Makes a GGUF file of a Hugging Face model folder: config.json, safetensors, and the tokenizer's
// files. Keys and tensor names are those that llama.cpp reads, so that the file works there too.
// Architectures: llama (2, 3.x), qwen2, qwen3, gemma3 (text), bert.

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "runtime/quant/tensor_type.h"

namespace hearth {

struct ConvertOptions {
  std::string input_dir;
  std::string output_path;
  // Of the matrices; none: as they are stored. Norms and biases are F32 always; a matrix whose rows
  // do not divide into the type's blocks becomes F16.
  std::optional<TensorType> type;
  std::function<void(double)> on_progress;  // 0 to 1
};

// Memory is bounded by a row of a matrix at a time. Errors: kNotFound, kCorrupt, kUnsupported
// (architectures, tokenizers and settings that Hearth lacks, by name), those of GgufWriter::Write.
Status ConvertHuggingFace(const ConvertOptions& options);

}  // namespace hearth
