#include "runtime/chat_template/macro.h"

#include <algorithm>

namespace hearth::jinja {
namespace {

bool Mentions(const ExprPtr& expr, std::string_view variable) {
  if (expr == nullptr) return false;
  if (expr->kind == Expr::Kind::kName && expr->name == variable) return true;
  const auto mentions = [&](const ExprPtr& child) { return Mentions(child, variable); };
  return std::ranges::any_of(expr->items, mentions) ||
         std::ranges::any_of(expr->call.positional, mentions) ||
         std::ranges::any_of(expr->call.named,
                             [&](const auto& named) { return mentions(named.second); }) ||
         mentions(expr->call.star) || mentions(expr->call.double_star);
}

}  // namespace

bool Mentions(const Body& body, std::string_view variable) {
  const auto mentions = [&](const ExprPtr& expr) { return Mentions(expr, variable); };
  return std::ranges::any_of(body, [&](const auto& stmt) {
    return mentions(stmt->expr) || mentions(stmt->condition) ||
           std::ranges::any_of(stmt->values, mentions) ||
           std::ranges::any_of(stmt->branches,
                               [&](const Stmt::Branch& branch) {
                                 return mentions(branch.condition) ||
                                        Mentions(branch.body, variable);
                               }) ||
           std::ranges::any_of(stmt->signature.defaults, mentions) ||
           Mentions(stmt->body, variable) || Mentions(stmt->else_body, variable);
  });
}

Result<std::optional<Value>> Macro::Attribute(Runtime& rt, std::string_view attribute) const {
  if (attribute == "name") return Value(name);
  if (attribute == "arguments") {
    Array parameters;
    for (const std::string& parameter : syntax.signature.parameters)
      parameters.emplace_back(parameter);
    HEARTH_ASSIGN_OR_RETURN(Value list, rt.NewList(std::move(parameters), List::Kind::kTuple));
    return list;
  }
  if (attribute == "catch_kwargs") return Value(Mentions(syntax.body, "kwargs"));
  if (attribute == "catch_varargs") return Value(Mentions(syntax.body, "varargs"));
  if (attribute == "caller") return Value(Mentions(syntax.body, "caller"));
  return std::optional<Value>();
}

}  // namespace hearth::jinja
