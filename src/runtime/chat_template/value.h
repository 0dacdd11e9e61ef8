#pragma once
// Values of the template language: what Jinja sees. Strings remember which of their parts came from outside (a user's
// message), so that text that merely looks like a special token can be told from the template's own.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace hearth::jinja {

// A string with provenance. `parts` are never empty strings and neighbours differ in `trusted`.
class Text {
 public:
  struct Part {
    std::string text;
    bool trusted = true;  // written by the template; false: came in through a value marked as input
    bool operator==(const Part&) const = default;
  };
  Text() = default;
  Text(std::string text, bool trusted = true);  // NOLINT: a template literal is a Text

  void Append(const Text& other);
  std::string str() const;
  size_t size_bytes() const;
  bool empty() const { return parts_.empty(); }
  const std::vector<Part>& parts() const { return parts_; }
  bool operator==(const Text& other) const { return str() == other.str(); }

 private:
  std::vector<Part> parts_;
};

class Value;
using Array = std::vector<Value>;
// Insertion order is kept: tojson and items() show it.
using Object = std::vector<std::pair<std::string, Value>>;

struct Undefined {};
struct None {};

// Arrays and objects are shared and immutable once built, so copying a Value is cheap.
class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(None none) : data_(none) {}                                     // NOLINT
  Value(bool value) : data_(value) {}                                   // NOLINT
  Value(int64_t value) : data_(value) {}                                // NOLINT
  Value(int value) : data_(static_cast<int64_t>(value)) {}              // NOLINT
  Value(double value) : data_(value) {}                                 // NOLINT
  Value(Text text) : data_(std::move(text)) {}                          // NOLINT
  Value(std::string text) : data_(Text(std::move(text))) {}             // NOLINT
  Value(const char* text) : data_(Text(std::string(text))) {}           // NOLINT
  Value(Array array) : data_(std::make_shared<const Array>(std::move(array))) {}      // NOLINT
  Value(Object object) : data_(std::make_shared<const Object>(std::move(object))) {}  // NOLINT

  // A string from outside: special tokens in it are to stay text.
  static Value Input(std::string text) { return Value(Text(std::move(text), false)); }

  using Data = std::variant<Undefined, None, bool, int64_t, double, Text, std::shared_ptr<const Array>,
                            std::shared_ptr<const Object>>;
  const Data& data() const { return data_; }

 private:
  Data data_;
};

}  // namespace hearth::jinja
