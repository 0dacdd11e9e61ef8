#pragma once
// Figures of a run as JSON lines: one object per step, {"step": 10, "train/loss": 1.5, ...}. A
// figure that is no number (a loss of NaN) is null. A resumed run goes on behind the last line.
// Threads: one at a time.

#include <cstdio>
#include <memory>
#include <string>

#include "base/result.h"
#include "training/trainer/metrics_sink.h"

namespace hearth::forge {

class JsonlSink final : public MetricsSink {
 public:
  // Appends to the file, which may be absent. Errors: kPermission, kNotFound (no such folder), kIo.
  static Result<std::unique_ptr<JsonlSink>> Open(const std::string& path);
  ~JsonlSink() override;

  void AddScalar(std::string_view name, int64_t step, double value) override;
  void Flush() override;
  // Whether everything so far reached the file; a run goes on without its log.
  bool ok() const { return ok_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  explicit JsonlSink(std::FILE* file) : file_(file) {}
  void EndLine();

  std::unique_ptr<std::FILE, Close> file_;
  std::string line_;  // of step_, without its end; empty: none begun
  int64_t step_ = 0;
  bool ok_ = true;
};

}  // namespace hearth::forge
