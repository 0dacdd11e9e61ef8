#pragma once
// One tensor of a GGUF file as torch has it. Threads: safe from many.

#include <string>

#include "base/result.h"
#include "runtime/gguf/gguf.h"
#include "training/model/torch_compat.h"

namespace hearth::forge {

// Dequantised, FP32 on the CPU, [rows, columns] or [columns]. `interleaved_head_dim` not 0: its
// rows are llama's queries or keys, whose heads of that many dimensions GGUF has interleaved; here
// their halves lie apart, as the decoder has them. Errors: kCorrupt for a tensor that is missing
// or whose shape is not `shape`, naming both.
Result<Tensor> ReadGgufTensor(const GgufFile& file, const std::string& name, at::IntArrayRef shape,
                              int64_t interleaved_head_dim = 0);

}  // namespace hearth::forge
