#pragma once
// Collects the tensors a model needs, checked by shape; matrices get their place in the weight
// image.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/gguf/gguf.h"
#include "runtime/ops/matmul.h"

namespace hearth {

// "[576, 49152]"
std::string ShapeText(const std::vector<uint64_t>& shape);

class TensorFinder {
 public:
  explicit TensorFinder(const GgufFile& file) : file_(file) {}

  // Errors of all: kCorrupt naming the tensor, with expected and actual shape.
  // A two-dimensional tensor; *target is filled in by Resolve once the image is there.
  Status Need(const std::string& name, int num_rows, int num_columns, Matrix* target);
  // A vector, dequantised.
  Status Need(const std::string& name, int size, std::vector<float>* target);
  Status Optional(const std::string& name, int size, std::vector<float>* target);
  // A table whose rows are looked up where they lie in the file.
  Result<const GgufTensor*> Table(const std::string& name, int num_rows, int num_columns) const;

  // A tensor of a layer or of the head that nobody asked for belongs to another graph than the one
  // that would be computed. Errors: kUnsupported naming the first.
  Status RefuseUnknown(std::string_view architecture) const;

  const std::vector<const GgufTensor*>& matrices() const { return matrices_; }
  const std::vector<Matrix*>& targets() const { return targets_; }

 private:
  Result<const GgufTensor*> Find(const std::string& name, const std::vector<uint64_t>& shape) const;

  const GgufFile& file_;
  std::vector<const GgufTensor*> matrices_;
  std::vector<Matrix*> targets_;
  std::set<std::string, std::less<>> needed_;
};

}  // namespace hearth
