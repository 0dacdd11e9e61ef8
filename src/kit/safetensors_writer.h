#pragma once
// Writes safetensors files as Hugging Face's libraries read them: one file, or a model folder's
// model.safetensors, cut into several with an index above a size. Tensors are streamed; a file takes
// its name only when it is whole.
// Format: https://huggingface.co/docs/safetensors/index#format
// Threads: one at a time.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/quant/tensor_type.h"

namespace hearth {

class SafetensorsWriter {
 public:
  // As GgufWriter's: a source gives a tensor's bytes to the sink, in row order.
  using TensorSink = std::function<Status(std::span<const std::byte>)>;
  using TensorSource = std::function<Status(const TensorSink& sink)>;

  // `shape` slowest dimension first. Requires: F32, F16 or BF16; a name not used before, in UTF-8.
  void AddTensor(std::string name, TensorType type, std::vector<uint64_t> shape,
                 TensorSource source);

  // One file. Tensors lie without gaps, those of wider types first, so that each is aligned to its
  // type. Errors: those of AtomicFile and of the sources; kInvalidArgument when a source gave fewer
  // or more bytes than its shape needs, naming the tensor. `on_progress`, if set, is called with 0
  // to 1.
  Status Write(const std::string& path, const std::function<void(double)>& on_progress = {}) const;

  // Into an existing folder: model.safetensors where all fits into `max_file_bytes`, else
  // model-00001-of-0000N.safetensors and model.safetensors.index.json, cut between tensors in the
  // order they were added (a tensor larger than that has a file of its own). Weights of before that
  // have other names are removed at the end. -> the names of the files.
  Result<std::vector<std::string>> WriteFolder(
      const std::string& folder, uint64_t max_file_bytes,
      const std::function<void(double)>& on_progress = {}) const;

  uint64_t total_bytes() const { return total_bytes_; }

 private:
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<uint64_t> shape;
    uint64_t size_bytes;
    TensorSource source;
  };
  Status WriteSome(const std::string& path, std::vector<const Tensor*> tensors,
                   const std::function<void(uint64_t)>& on_bytes) const;

  std::vector<Tensor> tensors_;
  uint64_t total_bytes_ = 0;
};

}  // namespace hearth
