#pragma once
// Reads safetensors files: a JSON header with the tensors' types, shapes and places, then their
// bytes. The file is hostile until proven otherwise. Format:
// https://huggingface.co/docs/safetensors/index#format
// Threads: immutable after opening.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "runtime/quant/tensor_type.h"

namespace hearth {

// A tensor as stored, row-major, slowest dimension first.
struct SafeTensor {
  std::string name;
  TensorType type = TensorType::kF32;  // F32, F16 or BF16
  std::vector<uint64_t> shape;
  std::span<const std::byte> data;  // exactly the shape's bytes
};

// Errors: kCorrupt naming the tensor and the value; kUnsupported for types other than F32, F16 and
// BF16, except that tensors of integers and booleans (position ids, masks) are left out.
Result<std::vector<SafeTensor>> ParseSafetensors(std::span<const std::byte> bytes);

// All tensors of a Hugging Face model folder: model.safetensors, or the files that
// model.safetensors.index.json names.
class Checkpoint {
 public:
  static Result<Checkpoint> Open(const std::string& folder);
  const std::map<std::string, SafeTensor>& tensors() const { return tensors_; }

 private:
  std::vector<std::unique_ptr<const MappedFile>> files_;
  std::map<std::string, SafeTensor> tensors_;
};

}  // namespace hearth
