#pragma once
// A macro, or the body of a {% call %} block as the macro it calls sees it.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/chat_template/ast.h"
#include "runtime/chat_template/objects.h"
#include "runtime/chat_template/scope.h"

namespace hearth::jinja {

class Macro : public HeapObject {
 public:
  // `syntax` outlives the rendering. `scope` is where it was written: its body sees those
  // variables.
  Macro(std::string macro_name, const Stmt& stmt, std::shared_ptr<Scope> defining_scope)
      : HeapObject(Kind::kMacro),
        name(std::move(macro_name)),
        syntax(stmt),
        scope(std::move(defining_scope)) {}

  // macro.name, .arguments, ...; nullopt for a name that macros do not have.
  Result<std::optional<Value>> Attribute(Runtime& rt, std::string_view attribute) const;

  const std::string name;
  const Stmt& syntax;
  const std::shared_ptr<Scope> scope;
};

inline Macro* AsMacro(const Value& value) { return As<Macro>(value, HeapObject::Kind::kMacro); }

// Whether the body mentions the variable: a macro takes further arguments only if it does.
bool Mentions(const Body& body, std::string_view variable);

}  // namespace hearth::jinja
