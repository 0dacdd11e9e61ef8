#include "training/trainer/jsonl_sink.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

namespace hearth::forge {

Result<std::unique_ptr<JsonlSink>> JsonlSink::Open(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "ae");
  if (file == nullptr) {
    const ErrorCode code = errno == ENOENT   ? ErrorCode::kNotFound
                           : errno == EACCES ? ErrorCode::kPermission
                                             : ErrorCode::kIo;
    return MakeError(code, path + ": " + std::strerror(errno));
  }
  return std::unique_ptr<JsonlSink>(new JsonlSink(file));
}

JsonlSink::~JsonlSink() { EndLine(); }

void JsonlSink::AddScalar(std::string_view name, int64_t step, double value) {
  if (!line_.empty() && step != step_) EndLine();
  step_ = step;
  if (line_.empty()) line_ = "{\"step\":" + std::to_string(step);
  line_ += ',' + nlohmann::json(name).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  line_ += ':' + (std::isfinite(value) ? nlohmann::json(value).dump() : "null");
}

void JsonlSink::EndLine() {
  if (line_.empty()) return;
  line_ += "}\n";
  ok_ &= std::fwrite(line_.data(), 1, line_.size(), file_.get()) == line_.size();
  line_.clear();
}

void JsonlSink::Flush() {
  EndLine();
  ok_ &= std::fflush(file_.get()) == 0;
}

}  // namespace hearth::forge
