#pragma once
// The values that live only while a template runs, and Python's names for all types.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/chat_template/runtime.h"

namespace hearth::jinja {

// What a call passes.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Range : public HeapObject {
 public:
  // Requires: step != 0.
  Range(int64_t start, int64_t stop, int64_t step);
  int64_t length() const { return length_; }
  int64_t at(int64_t index) const { return start_ + index * step_; }
  int64_t start() const { return start_; }
  int64_t stop() const { return stop_; }
  int64_t step() const { return step_; }

 private:
  int64_t start_, stop_, step_, length_;
};

// dict.keys(), .values(), .items()
class View : public HeapObject {
 public:
  enum class What { kKeys, kValues, kItems };
  View(Value dict_value, What what_shown)
      : HeapObject(Kind::kView), source(std::move(dict_value)), what(what_shown) {}
  const Dict& dict() const { return *source.dict(); }
  const Value source;
  const What what;
};

// Python's generators and iterators: each item comes once.
class Generator : public HeapObject {
 public:
  // Writes the next item and returns true, or returns false at the end.
  using Next = std::function<Result<bool>(Value* item)>;
  Generator(const char* python_name, Next next_item)
      : HeapObject(Kind::kGenerator), name(python_name), next(std::move(next_item)) {}
  const char* const name;
  const Next next;
};

// How a method of a built-in type is implemented; null for one that Python has and we do not.
using MethodFn = Result<Value> (*)(Runtime& rt, const Value& self, const Arguments& arguments);

class Method : public HeapObject {
 public:
  Method(Value bound_self, std::string_view method_name, MethodFn method)
      : HeapObject(Kind::kMethod), self(std::move(bound_self)), name(method_name), fn(method) {}
  const Value self;
  const std::string_view name;
  const MethodFn fn;
};

// A global function: range, dict, namespace, ...
using FunctionFn = Result<Value> (*)(Runtime& rt, const Arguments& arguments);

class Function : public HeapObject {
 public:
  Function(std::string_view function_name, FunctionFn function)
      : HeapObject(Kind::kFunction), name(function_name), fn(function) {}
  const std::string_view name;
  const FunctionFn fn;
};

class Namespace : public HeapObject {
 public:
  Namespace() : HeapObject(Kind::kNamespace) {}
  const Value* Find(std::string_view name) const;
  void Set(std::string_view name, Value value);
  std::vector<std::pair<Value, Value>> attributes;  // the names are strings
};

class Cycler : public HeapObject {
 public:
  explicit Cycler(std::vector<Value> values)
      : HeapObject(Kind::kCycler), items(std::move(values)) {}
  const std::vector<Value> items;
  size_t position = 0;
};

class Joiner : public HeapObject {
 public:
  explicit Joiner(Value between) : HeapObject(Kind::kJoiner), separator(std::move(between)) {}
  const Value separator;
  bool used = false;
};

// The heap object of a value as T, or null.
template <typename T>
T* As(const Value& value, HeapObject::Kind kind) {
  HeapObject* object = value.object();
  return object != nullptr && object->kind() == kind ? static_cast<T*>(object) : nullptr;
}
inline Range* AsRange(const Value& value) { return As<Range>(value, HeapObject::Kind::kRange); }
inline View* AsView(const Value& value) { return As<View>(value, HeapObject::Kind::kView); }
inline Generator* AsGenerator(const Value& value) {
  return As<Generator>(value, HeapObject::Kind::kGenerator);
}
inline Method* AsMethod(const Value& value) { return As<Method>(value, HeapObject::Kind::kMethod); }
inline Function* AsFunction(const Value& value) {
  return As<Function>(value, HeapObject::Kind::kFunction);
}
inline Namespace* AsNamespace(const Value& value) {
  return As<Namespace>(value, HeapObject::Kind::kNamespace);
}
inline Cycler* AsCycler(const Value& value) { return As<Cycler>(value, HeapObject::Kind::kCycler); }
inline Joiner* AsJoiner(const Value& value) { return As<Joiner>(value, HeapObject::Kind::kJoiner); }

// type(value).__name__
std::string_view TypeName(const Value& value);

bool IsCallable(const Value& value);

// An undefined value whose use is explained by `reason`.
Result<Value> MakeUndefined(Runtime& rt, std::string reason);
// What using an undefined value says. Requires: value.is_undefined().
tl::unexpected<Error> UndefinedError(const Runtime& rt, const Value& value);

}  // namespace hearth::jinja
