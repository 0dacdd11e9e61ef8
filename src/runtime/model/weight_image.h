#pragma once
// The weights in the kernels' layout, made once per model file and kept: an image file in the cache
// folder, keyed by the content of the model file and the layout version, mapped read-only
// afterwards. Two processes that start at once share the work: one makes the image (lock, temporary
// name, rename), the other waits. Where the disk refuses, the image lives in memory only.
// Threads: Open runs alone with its pool; the image is immutable after.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "runtime/gguf/gguf.h"
#include "runtime/ops/matmul.h"

namespace hearth {

struct WeightImageOptions {
  std::string cache_dir;  // empty: ${XDG_CACHE_HOME:-~/.cache}/hearth
  bool use_disk = true;
  std::function<void(double)> on_progress;  // 0 to 1, while the image is made
};

class WeightImage {
 public:
  // Holds each of `tensors` (two-dimensional, of `file`), re-laid. Source pages are let go as they
  // have been read.
  // Errors: kResourceExhausted when neither disk nor memory has room. Anything else about the disk
  // only means "in memory".
  static Result<WeightImage> Open(const GgufFile& file,
                                  const std::vector<const GgufTensor*>& tensors, ThreadPool& pool,
                                  const WeightImageOptions& options);

  // The index is that of the tensor in `tensors`.
  const Matrix& matrix(size_t index) const { return matrices_[index]; }
  // Where the image lies; empty: in memory. `why_in_memory` says what the disk refused.
  const std::string& path() const { return path_; }
  const std::string& why_in_memory() const { return why_in_memory_; }

 private:
  std::string path_;
  std::string why_in_memory_;
  MappedFile mapped_;
  std::shared_ptr<std::byte> memory_;
  std::vector<Matrix> matrices_;
};

// Names the content of a model file (and the layout version), 32 hex digits; from a stamp in the
// cache folder (none: empty) when this very file was hashed before.
std::string ModelKey(const GgufFile& file, const std::string& cache_dir);

// ${XDG_CACHE_HOME:-~/.cache}/hearth; empty where neither variable is set.
std::string DefaultCacheDir();

}  // namespace hearth
