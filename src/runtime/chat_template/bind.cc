#include "runtime/chat_template/bind.h"

#include "base/check.h"
#include "runtime/chat_template/operators.h"

namespace hearth::jinja {

Result<Bound> Bind(Runtime& rt, std::string_view function, const Arguments& arguments,
                   std::initializer_list<std::string_view> parameters, size_t required) {
  HEARTH_DCHECK(parameters.size() <= Bound::kMaxParameters);
  const std::string name = std::string(function) + "()";
  if (arguments.positional.size() > parameters.size()) {
    return rt.Fail(name + " takes at most " + std::to_string(parameters.size()) + " arguments (" +
                   std::to_string(arguments.positional.size()) + " given)");
  }
  Bound bound;
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    bound.values_[i] = &arguments.positional[i];
  }
  for (const auto& [key, value] : arguments.named) {
    size_t i = 0;
    while (i < parameters.size() && parameters.begin()[i] != key) ++i;
    if (i == parameters.size()) {
      return rt.Fail(name + " got an unexpected keyword argument '" + key + "'");
    }
    if (bound.values_[i] != nullptr) {
      return rt.Fail(name + " got multiple values for argument '" + key + "'");
    }
    bound.values_[i] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound.values_[i] == nullptr) {
      return rt.Fail(name + " missing required argument '" + std::string(parameters.begin()[i]) +
                     "'");
    }
  }
  return bound;
}

Result<int64_t> Bound::IntegerOr(Runtime& rt, size_t i, int64_t fallback) const {
  if (values_[i] == nullptr) return fallback;
  if (values_[i]->is_undefined()) return UndefinedError(rt, *values_[i]);
  const auto number = AsNumber(*values_[i]);
  if (!number || number->is_float) {
    return rt.Fail("'" + std::string(TypeName(*values_[i])) +
                   "' object cannot be interpreted as an integer");
  }
  return number->integer;
}

bool Bound::TruthOr(size_t i, bool fallback) const {
  return values_[i] == nullptr ? fallback : Truthy(*values_[i]);
}

Result<const Text*> Bound::TextOrNull(Runtime& rt, size_t i) const {
  if (values_[i] == nullptr || values_[i]->is_none()) return nullptr;
  if (values_[i]->string() == nullptr) {
    return rt.Fail("expected a string, not " + std::string(TypeName(*values_[i])));
  }
  return &values_[i]->text();
}

}  // namespace hearth::jinja
