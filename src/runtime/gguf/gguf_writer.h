#pragma once
// Writes GGUF v3 files: metadata in the order it was set, tensors streamed one after the other, so
// that no more than a piece of one is in memory. The file takes its name only when it is whole.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
// Threads: one at a time.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runtime/gguf/gguf.h"

namespace hearth {

class GgufWriter {
 public:
  // Takes the tensor's bytes piece by piece, in row order.
  using TensorSink = std::function<Status(std::span<const std::byte>)>;
  // Gives a tensor's bytes to the sink when the file is written; an error of either side ends the
  // writing.
  using TensorSource = std::function<Status(const TensorSink& sink)>;

  // Setting a key again replaces its value. general.alignment is the writer's own.
  void Set(std::string key, GgufValue value);
  void SetUint32(std::string key, uint32_t value);
  void SetFloat32(std::string key, float value);
  void SetBool(std::string key, bool value);
  void SetString(std::string key, std::string value);
  void SetStringArray(std::string key, std::vector<std::string> values);
  void SetInt32Array(std::string key, std::vector<int64_t> values);
  void SetFloat32Array(std::string key, std::vector<double> values);

  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return metadata_; }

  // `shape` as in GgufTensor: the fastest dimension first. Requires: 1 to 4 dimensions, none zero,
  // the first a multiple of the type's block; a name not used before.
  void AddTensor(std::string name, TensorType type, std::vector<uint64_t> shape,
                 TensorSource source);
  // The bytes are copied.
  void AddTensor(std::string name, TensorType type, std::vector<uint64_t> shape,
                 std::span<const std::byte> data);

  // Errors: those of AtomicFile and of the sources; kInvalidArgument when a source gave fewer or
  // more bytes than its shape needs, naming the tensor. `on_progress`, if set, is called with 0
  // to 1.
  Status Write(const std::string& path, const std::function<void(double)>& on_progress = {}) const;

 private:
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<uint64_t> shape;
    uint64_t size_bytes;
    TensorSource source;
  };
  std::string Header() const;

  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace hearth
