#include "runtime/chat_template/runtime.h"

#include <ctime>

#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {
namespace {

// A template of depth 100 that calls macros needs more levels than its syntax has, but the
// machine's stack ends it all: this many take under 1 MiB, under 4 with AddressSanitizer.
constexpr int kNestingPerDepth = 4;

tl::unexpected<Error> ErrorAt(int line, ErrorCode code, std::string_view message) {
  return MakeError(code, "line " + std::to_string(line) + ": " + std::string(message));
}

}  // namespace

Runtime::Runtime(const ChatTemplateLimits& limits, std::function<int64_t()> now)
    : limits_(limits), now_(std::move(now)) {
  if (!now_) now_ = [] { return static_cast<int64_t>(std::time(nullptr)); };
}

tl::unexpected<Error> Runtime::Fail(std::string_view message) const {
  return ErrorAt(line, ErrorCode::kCorrupt, message);
}

tl::unexpected<Error> Runtime::Unsupported(std::string_view message) const {
  return ErrorAt(line, ErrorCode::kUnsupported, message);
}

tl::unexpected<Error> Runtime::Exhausted(std::string_view message) const {
  return ErrorAt(line, ErrorCode::kResourceExhausted, message);
}

tl::unexpected<Error> Runtime::StepsExhausted() const {
  return Exhausted("the template takes more than " + std::to_string(limits_.max_steps) + " steps");
}

Status Runtime::Allocate(size_t bytes) {
  const int64_t left = limits_.max_allocated_bytes - allocated_bytes_;
  if (left < 0 || bytes > static_cast<uint64_t>(left)) {
    return Exhausted("the template makes more than " + std::to_string(limits_.max_allocated_bytes) +
                     " bytes of values");
  }
  allocated_bytes_ += static_cast<int64_t>(bytes);
  return {};
}

Result<Value> Runtime::NewString(Text text, bool markup) {
  HEARTH_RETURN_IF_ERROR(Allocate(text.size_bytes() + kObjectOverheadBytes));
  return Value::Of(String{std::move(text), markup});
}

Result<Value> Runtime::NewList(Array items, List::Kind kind) {
  HEARTH_RETURN_IF_ERROR(Allocate(items.size() * sizeof(Value) + kObjectOverheadBytes));
  return CheckDepth(Value::Of(List{std::move(items), kind}));
}

Result<Value> Runtime::NewDict(std::vector<std::pair<Value, Value>> entries) {
  HEARTH_RETURN_IF_ERROR(Allocate(entries.size() * 2 * sizeof(Value) + kObjectOverheadBytes));
  return CheckDepth(Value::Of(Dict{std::move(entries)}));
}

Result<Value> Runtime::CheckDepth(Value value) const {
  if (value.depth() > limits_.max_depth) {
    return Exhausted("a value nests deeper than " + std::to_string(limits_.max_depth) + " levels");
  }
  return value;
}

Status Nested::Check() const {
  if (rt_.nesting_ > rt_.limits_.max_depth * kNestingPerDepth) {
    return rt_.Exhausted("the template nests too deep");
  }
  return {};
}

bool TextBuilder::Reserve(size_t bytes) {
  if (status_) status_ = rt_.Allocate(bytes);
  return status_.has_value();
}

void TextBuilder::Append(std::string_view bytes, bool trusted) {
  if (Reserve(bytes.size())) text_.Append(bytes, trusted);
}

void TextBuilder::AppendRange(const Text& text, size_t begin, size_t end) {
  if (Reserve(end - begin)) text_.AppendRange(text, begin, end);
}

void TextBuilder::AppendRepeated(const Text& text, int64_t count) {
  if (count <= 0 || text.empty()) return;
  size_t bytes = 0;
  if (__builtin_mul_overflow(text.size_bytes(), static_cast<size_t>(count), &bytes)) {
    bytes = SIZE_MAX;
  }
  if (!Reserve(bytes)) return;
  // By doubling, so that a long row of short strings takes few steps.
  Text block = text;
  while (true) {
    if ((count & 1) != 0) text_.Append(block);
    count >>= 1;
    if (count == 0) break;
    block.Append(block);
  }
}

void TextBuilder::AppendCodePoint(uint32_t code_point, bool trusted) {
  std::string bytes;
  AppendUtf8(code_point, bytes);
  Append(bytes, trusted);
}

Result<Text> TextBuilder::Finish() {
  HEARTH_RETURN_IF_ERROR(std::move(status_));
  return std::move(text_);
}

Result<Value> TextBuilder::FinishValue(bool markup) {
  HEARTH_ASSIGN_OR_RETURN(Text text, Finish());
  return Value::Of(String{std::move(text), markup});
}

}  // namespace hearth::jinja
