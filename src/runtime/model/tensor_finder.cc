#include "runtime/model/tensor_finder.h"

#include "runtime/quant/quant.h"

namespace hearth {

std::string ShapeText(const std::vector<uint64_t>& shape) {
  std::string text;
  for (const uint64_t size : shape) text += (text.empty() ? "[" : ", ") + std::to_string(size);
  return text + "]";
}

Status TensorFinder::Need(const std::string& name, int num_rows, int num_columns, Matrix* target) {
  HEARTH_ASSIGN_OR_RETURN(const GgufTensor* tensor, Table(name, num_rows, num_columns));
  needed_.insert(name);
  matrices_.push_back(tensor);
  targets_.push_back(target);
  return {};
}

Status TensorFinder::Need(const std::string& name, int size, std::vector<float>* target) {
  HEARTH_ASSIGN_OR_RETURN(const GgufTensor* tensor, Find(name, {static_cast<uint64_t>(size)}));
  needed_.insert(name);
  target->resize(size);
  DequantizeRow(tensor->type, tensor->data, *target);
  return {};
}

Status TensorFinder::Optional(const std::string& name, int size, std::vector<float>* target) {
  return file_.FindTensor(name) == nullptr ? Status() : Need(name, size, target);
}

Status TensorFinder::RefuseUnknown(std::string_view architecture) const {
  for (const GgufTensor& tensor : file_.tensors()) {
    const std::string_view name = tensor.name;
    if (!name.starts_with("blk.") && !name.starts_with("output")) continue;
    // Old converters kept the RoPE frequencies of each layer, which follow from the metadata.
    if (needed_.contains(name) || name.ends_with(".attn_rot_embd.weight")) continue;
    return MakeError(
        ErrorCode::kUnsupported,
        "tensor " + tensor.name + " has no place in a model of type " + std::string(architecture));
  }
  return {};
}

Result<const GgufTensor*> TensorFinder::Table(const std::string& name, int num_rows,
                                              int num_columns) const {
  return Find(name, {static_cast<uint64_t>(num_columns), static_cast<uint64_t>(num_rows)});
}

Result<const GgufTensor*> TensorFinder::Find(const std::string& name,
                                             const std::vector<uint64_t>& shape) const {
  const GgufTensor* tensor = file_.FindTensor(name);
  if (tensor == nullptr) return MakeError(ErrorCode::kCorrupt, "tensor " + name + " is missing");
  if (tensor->shape != shape) {
    return MakeError(ErrorCode::kCorrupt, "tensor " + name + " has shape " +
                                              ShapeText(tensor->shape) + ", expected " +
                                              ShapeText(shape));
  }
  return tensor;
}

}  // namespace hearth
