#pragma once
// Torch tensors as tensors of a GGUF file, in any type that quant/ can write. What every exporter
// of weights goes through: whole models, adapters, draft heads.
// Threads: one at a time; rows are quantised by torch's own threads.

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "runtime/gguf/gguf_writer.h"
#include "training/model/torch_compat.h"

namespace hearth::forge {

struct GgufTensorOptions {
  // Of matrices; a matrix whose rows do not divide into the type's blocks becomes F16, and vectors
  // (norms, biases) are F32 always, as in every converter.
  TensorType type = TensorType::kF32;
  // Not 0: rows are reordered as GGUF's llama has the queries' and keys' heads of this many
  // dimensions, the two halves of each interleaved. Hugging Face and the decoder keep them apart.
  int64_t interleaved_head_dim = 0;
  // Not empty: the tensor in that type as it is stored elsewhere, its values perhaps the same still.
  // Rows that are keep their bytes instead of being rounded anew. Must outlive the writing.
  std::span<const std::byte> stored_before;
};

// The type that AddGgufTensor stores a tensor of these sizes in.
TensorType GgufTypeOf(at::IntArrayRef sizes, TensorType wanted);

// Adds `tensor` ([columns] or [rows, columns]; any floating type, device and strides) as `name`.
// Its values are read when the file is written, a few rows at a time, and shared with the caller's
// until then. Errors: kInvalidArgument naming the tensor for one without values, of other
// dimensions or whose rows are no whole heads; when the file is written also for values that are
// not finite or beyond F16's range in that type, with the place of the first. Requires: a name not used before.
Status AddGgufTensor(GgufWriter& writer, const std::string& name, const Tensor& tensor,
                     const GgufTensorOptions& options = {});

// What AddGgufTensor hands to the writer: gives the tensor's rows in exactly `options.type`; for
// other writers too (kit/safetensors_writer.h). Requires: what AddGgufTensor checks.
GgufWriter::TensorSource StoredRows(const std::string& name, const Tensor& tensor,
                                    const GgufTensorOptions& options);

// general.file_type and general.quantization_version of a file whose matrices are mostly `type`.
void SetGgufFileType(GgufWriter& writer, TensorType type);

}  // namespace hearth::forge
