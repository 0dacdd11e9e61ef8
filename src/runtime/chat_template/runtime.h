#pragma once
// What every part of a running template shares: the budget that bounds it, the line for error
// messages, the clock, and the objects that live until the rendering ends.
// Threads: one rendering, one Runtime, one thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runtime/chat_template/chat_template.h"
#include "runtime/chat_template/value.h"

namespace hearth::jinja {

// Anything mutable or callable. All of them belong to the Runtime and die with it, so they may
// refer to each other in circles, and letting go of a long chain of them needs no stack.
class HeapObject {
 public:
  enum class Kind {
    kRange,
    kView,
    kGenerator,
    kMethod,
    kFunction,
    kNamespace,
    kLoop,
    kMacro,
    kCycler,
    kJoiner
  };
  explicit HeapObject(Kind kind) : kind_(kind) {}
  HeapObject(const HeapObject&) = delete;
  HeapObject& operator=(const HeapObject&) = delete;
  virtual ~HeapObject() = default;
  Kind kind() const { return kind_; }

 private:
  const Kind kind_;
};

class Runtime {
 public:
  Runtime(const ChatTemplateLimits& limits, std::function<int64_t()> now);

  // Errors of the running template; the message says which line.
  // kCorrupt: the template's fault
  tl::unexpected<Error> Fail(std::string_view message) const;
  tl::unexpected<Error> Unsupported(std::string_view message) const;  // kUnsupported
  tl::unexpected<Error> Exhausted(std::string_view message) const;    // kResourceExhausted

  // Accounts for evaluating one node or one item.
  Status Step() {
    if (++steps_ > limits_.max_steps) return StepsExhausted();
    return {};
  }
  // Accounts for reading or comparing that many bytes, in steps: the limit on steps is a limit on
  // time.
  Status Work(size_t bytes) {
    steps_ += static_cast<int64_t>(bytes / kBytesPerStep);
    return Step();
  }
  // Accounts for that many new bytes. Nothing is given back when a value goes: the limit bounds
  // both memory and time.
  Status Allocate(size_t bytes);

  Result<Value> NewString(Text text, bool markup = false);
  Result<Value> NewList(Array items, List::Kind kind = List::Kind::kList);
  Result<Value> NewDict(std::vector<std::pair<Value, Value>> entries);
  template <typename T, typename... Args>
  Result<T*> New(Args&&... args) {
    HEARTH_RETURN_IF_ERROR(Allocate(sizeof(T) + kObjectOverheadBytes));
    auto object = std::make_unique<T>(std::forward<Args>(args)...);
    T* pointer = object.get();
    objects_.push_back(std::move(object));
    return pointer;
  }

  const ChatTemplateLimits& limits() const { return limits_; }
  int64_t Now() const { return now_(); }

  int line = 0;  // of the node being evaluated

 private:
  friend class Nested;
  static constexpr size_t kBytesPerStep = 128;
  static constexpr size_t kObjectOverheadBytes = 64;

  tl::unexpected<Error> StepsExhausted() const;
  Result<Value> CheckDepth(Value value) const;

  ChatTemplateLimits limits_;
  std::function<int64_t()> now_;
  int64_t steps_ = 0;
  int64_t allocated_bytes_ = 0;
  int nesting_ = 0;
  std::vector<std::unique_ptr<HeapObject>> objects_;
};

// Counts one level of recursion for as long as it lives.
class Nested {
 public:
  explicit Nested(Runtime& rt) : rt_(rt) { ++rt_.nesting_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
  ~Nested() { --rt_.nesting_; }
  Status Check() const;

 private:
  Runtime& rt_;
};

// Builds a string within the budget: after the first failure appending does nothing, and Finish
// says why.
class TextBuilder {
 public:
  explicit TextBuilder(Runtime& rt) : rt_(rt) {}
  void Append(std::string_view bytes, bool trusted = true);
  void Append(const std::string& bytes) { Append(std::string_view(bytes)); }
  void Append(const char* bytes) { Append(std::string_view(bytes)); }
  void Append(const Text& text) { AppendRange(text, 0, text.size_bytes()); }
  void AppendRange(const Text& text, size_t begin, size_t end);
  void AppendRepeated(const Text& text, int64_t count);
  void AppendCodePoint(uint32_t code_point, bool trusted);
  bool ok() const { return status_.has_value(); }
  Result<Text> Finish();
  Result<Value> FinishValue(bool markup = false);

 private:
  bool Reserve(size_t bytes);

  Runtime& rt_;
  Text text_;
  Status status_;
};

}  // namespace hearth::jinja
