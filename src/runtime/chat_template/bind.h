#pragma once
// Matches what a call passes with the parameters of a Python signature.

#include <array>
#include <initializer_list>

#include "runtime/chat_template/objects.h"

namespace hearth::jinja {

class Bound {
 public:
  // The argument of the i-th parameter, or null if the call leaves it out. An explicit none counts
  // as left out only where a caller asks with ValueOr.
  const Value* operator[](size_t i) const { return values_[i]; }

  // Conveniences for optional parameters. Errors: an argument of another type.
  Result<int64_t> IntegerOr(Runtime& rt, size_t i, int64_t fallback) const;
  bool TruthOr(size_t i, bool fallback) const;
  // The string of parameter i, or null if it is left out or none.
  Result<const Text*> TextOrNull(Runtime& rt, size_t i) const;

 private:
  friend Result<Bound> Bind(Runtime&, std::string_view, const Arguments&,
                            std::initializer_list<std::string_view>, size_t);
  static constexpr size_t kMaxParameters = 6;
  std::array<const Value*, kMaxParameters> values_{};
};

// The first `required` of the parameters must be passed. The result points into `arguments`.
// Errors: too many, missing or unknown arguments, in Python's words.
Result<Bound> Bind(Runtime& rt, std::string_view function, const Arguments& arguments,
                   std::initializer_list<std::string_view> parameters, size_t required = 0);

}  // namespace hearth::jinja
