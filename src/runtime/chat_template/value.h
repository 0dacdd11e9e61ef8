#pragma once
// Values of the template language: what Jinja sees. They behave as Python's.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/chat_template/text.h"

namespace hearth::jinja {

class Value;
using Array = std::vector<Value>;
// Insertion order is kept: tojson and items() show it. Keys are unique, and count as input wherever
// they are printed.
using Object = std::vector<std::pair<std::string, Value>>;

struct Undefined {
  // What an error about it says; null for a variable that was never there.
  std::shared_ptr<const std::string> reason;
};
struct None {};

struct String;
struct List;
struct Dict;
// Things that exist only while a template runs: macros, namespaces, loops, generators (runtime.h).
// Not owned.
class HeapObject;

// Strings, lists and dicts are shared and immutable once built, so copying a Value is cheap.
class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}  // NOLINT
  Value(None none) : data_(none) {}                            // NOLINT
  Value(bool value) : data_(value) {}                          // NOLINT
  Value(int64_t value) : data_(value) {}                       // NOLINT
  Value(int value) : data_(static_cast<int64_t>(value)) {}     // NOLINT
  Value(double value) : data_(value) {}                        // NOLINT
  Value(Text text);                                            // NOLINT
  Value(std::string text) : Value(Text(std::move(text))) {}    // NOLINT
  Value(const char* text) : Value(Text(std::string(text))) {}  // NOLINT
  Value(Array array);                                          // NOLINT
  Value(const Object& object);                                 // NOLINT
  Value(HeapObject* object) : data_(object) {}                 // NOLINT
  static Value Of(String string);
  static Value Of(List list);
  static Value Of(Dict dict);

  // A string from outside: special tokens in it are to stay text.
  static Value Input(std::string text) { return Value(Text(std::move(text), false)); }

  using Data = std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const String>,
                            std::shared_ptr<const List>, std::shared_ptr<const Dict>, HeapObject*>;
  const Data& data() const { return data_; }

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  // The value as that type, or null.
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&data_); }
  const double* real() const { return std::get_if<double>(&data_); }
  const String* string() const { return Pointee<String>(); }
  const List* list() const { return Pointee<List>(); }
  const Dict* dict() const { return Pointee<Dict>(); }
  HeapObject* object() const {
    const auto* object = std::get_if<HeapObject*>(&data_);
    return object == nullptr ? nullptr : *object;
  }
  // The bytes of a string. Requires: string().
  const Text& text() const;

  // How deep lists and dicts nest in it: 0 for a scalar, 1 for a flat list.
  int depth() const;

 private:
  template <typename T>
  const T* Pointee() const {
    const auto* pointer = std::get_if<std::shared_ptr<const T>>(&data_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  Data data_;
};

struct String {
  Text text;
  bool markup = false;  // came out of `safe` or `escape`: adding to it escapes the other side
};

struct List {
  enum class Kind { kList, kTuple, kGroup };  // kGroup: a tuple of groupby, with .grouper and .list
  Array items;
  Kind kind = Kind::kList;
  int depth = 0;  // set by Value
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 0;  // set by Value
};

}  // namespace hearth::jinja
