#pragma once
// Figures of a run as an event file that TensorBoard reads: scalars only.
//
// Format: records of TFRecord (length, masked CRC32C of it, data, masked CRC32C of that), each an
// Event of tensorflow/core/util/event.proto in protocol buffers' wire format: wall_time = 1
// (double), step = 2 (int64), file_version = 3 (string, of the first event: "brain.Event:2"),
// summary = 5, which holds value = 1, which holds tag = 1 (string) and simple_value = 2 (float).
// Threads: one at a time.

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "training/trainer/metrics_sink.h"

namespace hearth::forge {

class TensorboardSink final : public MetricsSink {
 public:
  // A new file in the folder, which is made if need be; TensorBoard shows all of a folder's files
  // as one run. `now` gives seconds since the epoch; left out, the clock. Errors: kPermission, kIo.
  static Result<std::unique_ptr<TensorboardSink>> Open(const std::string& folder,
                                                       std::function<double()> now = {});

  void AddScalar(std::string_view name, int64_t step, double value) override;
  void Flush() override;
  // Whether everything so far reached the file; a run goes on without its log.
  bool ok() const { return ok_; }
  const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  TensorboardSink(std::FILE* file, std::string path, std::function<double()> now)
      : file_(file), path_(std::move(path)), now_(std::move(now)) {}
  void WriteRecord(const std::string& data);

  std::unique_ptr<std::FILE, Close> file_;
  std::string path_;
  std::function<double()> now_;
  bool ok_ = true;
};

// CRC-32C (Castagnoli) of the bytes, as RFC 3720 has it.
uint32_t Crc32c(std::string_view bytes);

}  // namespace hearth::forge
