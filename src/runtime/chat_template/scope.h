#pragma once
// Variables of a running template: a chain of scopes, the innermost first.
// Threads: one rendering's own.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/chat_template/value.h"

namespace hearth::jinja {

class Scope {
 public:
  explicit Scope(std::shared_ptr<Scope> parent = nullptr) : parent_(std::move(parent)) {}

  // The variable of this scope or the nearest around it; null if there is none.
  const Value* Find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_.get()) {
      for (const auto& [known, value] : scope->variables_) {
        if (known == name) return &value;
      }
    }
    return nullptr;
  }
  // Sets it in this scope.
  void Set(std::string_view name, Value value) {
    for (auto& [known, old_value] : variables_) {
      if (known == name) {
        old_value = std::move(value);
        return;
      }
    }
    variables_.emplace_back(std::string(name), std::move(value));
  }
  size_t size() const { return variables_.size(); }

 private:
  std::vector<std::pair<std::string, Value>> variables_;
  std::shared_ptr<Scope> parent_;
};

}  // namespace hearth::jinja
