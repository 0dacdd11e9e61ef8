// The statements of a template.

#include "runtime/chat_template/evaluator.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/repr.h"

namespace hearth::jinja {

Result<Text> Evaluator::Render(const Body& body) {
  TextBuilder out(rt_);
  out_ = &out;
  HEARTH_RETURN_IF_ERROR(Run(body, std::make_shared<Scope>()));
  return out.Finish();
}

Result<Evaluator::Flow> Evaluator::Run(const Body& body, const ScopePtr& scope) {
  const Nested nested(rt_);
  HEARTH_RETURN_IF_ERROR(nested.Check());
  for (const auto& stmt : body) {
    HEARTH_ASSIGN_OR_RETURN(const Flow flow, Run(*stmt, scope));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::Run(const Stmt& stmt, const ScopePtr& scope) {
  HEARTH_RETURN_IF_ERROR(rt_.Step());
  rt_.line = stmt.line;
  switch (stmt.kind) {
    case Stmt::Kind::kText:
      HEARTH_RETURN_IF_ERROR(Write(stmt.text));
      return Flow::kNext;
    case Stmt::Kind::kOutput: {
      HEARTH_ASSIGN_OR_RETURN(const Value value, Evaluate(*stmt.expr, scope));
      HEARTH_RETURN_IF_ERROR(WriteValue(value));
      return Flow::kNext;
    }
    case Stmt::Kind::kIf:
      return RunIf(stmt, scope);
    case Stmt::Kind::kFor:
      return RunFor(stmt, scope);
    case Stmt::Kind::kSet: {
      HEARTH_ASSIGN_OR_RETURN(Value value, Evaluate(*stmt.expr, scope));
      HEARTH_RETURN_IF_ERROR(Assign(*stmt.target, std::move(value), scope));
      return Flow::kNext;
    }
    case Stmt::Kind::kSetBlock: {
      HEARTH_ASSIGN_OR_RETURN(Value value, Capture(stmt.body, scope));
      if (stmt.expr != nullptr) {
        HEARTH_ASSIGN_OR_RETURN(value, ApplyFilter(*stmt.expr, &value, scope));
      }
      HEARTH_RETURN_IF_ERROR(Assign(*stmt.target, std::move(value), scope));
      return Flow::kNext;
    }
    case Stmt::Kind::kMacro: {
      HEARTH_ASSIGN_OR_RETURN(Macro * macro, rt_.New<Macro>(stmt.name, stmt, scope));
      scope->Set(stmt.name, Value(macro));
      return Flow::kNext;
    }
    case Stmt::Kind::kCallBlock:
      HEARTH_RETURN_IF_ERROR(RunCallBlock(stmt, scope));
      return Flow::kNext;
    case Stmt::Kind::kFilter: {
      HEARTH_ASSIGN_OR_RETURN(Value value, Capture(stmt.body, scope));
      HEARTH_ASSIGN_OR_RETURN(value, ApplyFilter(*stmt.expr, &value, scope));
      HEARTH_RETURN_IF_ERROR(WriteValue(value));
      return Flow::kNext;
    }
    case Stmt::Kind::kWith:
      HEARTH_RETURN_IF_ERROR(RunWith(stmt, scope));
      return Flow::kNext;
    case Stmt::Kind::kScope:
      return Run(stmt.body, std::make_shared<Scope>(scope));
    case Stmt::Kind::kBreak:
      return Flow::kBreak;
    case Stmt::Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::RunIf(const Stmt& stmt, const ScopePtr& scope) {
  for (const Stmt::Branch& branch : stmt.branches) {
    HEARTH_ASSIGN_OR_RETURN(const Value condition, Evaluate(*branch.condition, scope));
    if (Truthy(condition)) return Run(branch.body, scope);
  }
  return Run(stmt.else_body, scope);
}

Result<Evaluator::Flow> Evaluator::RunFor(const Stmt& stmt, const ScopePtr& scope) {
  HEARTH_ASSIGN_OR_RETURN(const Value items, Evaluate(*stmt.expr, scope));
  return RunLoop(stmt, items, scope, 0);
}

// The items for which the loop's condition holds.
Result<Value> Evaluator::Selected(const Stmt& stmt, const Value& items, const ScopePtr& scope) {
  HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt_, items));
  Array selected;
  Value item;
  for (;;) {
    HEARTH_ASSIGN_OR_RETURN(const bool more, iterator.Next(rt_, &item));
    if (!more) break;
    HEARTH_RETURN_IF_ERROR(rt_.Step());
    const auto inner = std::make_shared<Scope>(scope);
    HEARTH_RETURN_IF_ERROR(Assign(*stmt.target, item, inner));
    HEARTH_ASSIGN_OR_RETURN(const Value condition, Evaluate(*stmt.condition, inner));
    if (Truthy(condition)) selected.push_back(item);
  }
  return rt_.NewList(std::move(selected));
}

Result<Evaluator::Flow> Evaluator::RunLoop(const Stmt& stmt, const Value& items,
                                           const ScopePtr& scope, int depth0) {
  Value source = items;
  if (stmt.condition != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(source, Selected(stmt, items, scope));
  }
  HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt_, source));
  HEARTH_ASSIGN_OR_RETURN(Loop * loop, rt_.New<Loop>(std::move(iterator), depth0));
  if (stmt.recursive) recursions_[loop] = {&stmt, scope, depth0};
  bool any = false;
  for (;;) {
    rt_.line = stmt.line;
    HEARTH_RETURN_IF_ERROR(rt_.Step());
    Value item;
    HEARTH_ASSIGN_OR_RETURN(const bool more, loop->Advance(rt_, &item));
    if (!more) break;
    any = true;
    // What an iteration sets is gone in the next.
    const auto inner = std::make_shared<Scope>(scope);
    HEARTH_RETURN_IF_ERROR(Assign(*stmt.target, std::move(item), inner));
    inner->Set("loop", Value(loop));
    HEARTH_ASSIGN_OR_RETURN(const Flow flow, Run(stmt.body, inner));
    if (flow == Flow::kBreak) break;
  }
  if (any) return Flow::kNext;
  return Run(stmt.else_body, std::make_shared<Scope>(scope));
}

Status Evaluator::RunWith(const Stmt& stmt, const ScopePtr& scope) {
  const auto inner = std::make_shared<Scope>(scope);
  for (size_t i = 0; i < stmt.names.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(Value value, Evaluate(*stmt.values[i], scope));
    HEARTH_RETURN_IF_ERROR(Assign(*stmt.names[i], std::move(value), inner));
  }
  HEARTH_RETURN_IF_ERROR(Run(stmt.body, inner));
  return {};
}

Status Evaluator::RunCallBlock(const Stmt& stmt, const ScopePtr& scope) {
  HEARTH_ASSIGN_OR_RETURN(Macro * caller, rt_.New<Macro>("caller", stmt, scope));
  HEARTH_ASSIGN_OR_RETURN(const Value callee, Evaluate(*stmt.expr->items[0], scope));
  HEARTH_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(stmt.expr->call, scope));
  arguments.named.emplace_back("caller", Value(caller));
  HEARTH_ASSIGN_OR_RETURN(const Value value, Call(callee, std::move(arguments)));
  return WriteValue(value);
}

Status Evaluator::Assign(const Expr& target, Value value, const ScopePtr& scope) {
  switch (target.kind) {
    case Expr::Kind::kNamespaceAttribute: {
      HEARTH_ASSIGN_OR_RETURN(const Value holder, Lookup(target.name, scope));
      Namespace* names = AsNamespace(holder);
      if (names == nullptr) return rt_.Fail("cannot assign attribute on non-namespace object");
      HEARTH_RETURN_IF_ERROR(rt_.Work(names->attributes.size() * sizeof(Value)));
      HEARTH_RETURN_IF_ERROR(rt_.Allocate(target.attribute.size() + 2 * sizeof(Value)));
      names->Set(target.attribute, std::move(value));
      return {};
    }
    case Expr::Kind::kTuple: {
      HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt_, value));
      Array items;
      Value item;
      for (;;) {
        HEARTH_ASSIGN_OR_RETURN(const bool more, iterator.Next(rt_, &item));
        if (!more) break;
        items.push_back(item);
        if (items.size() > target.items.size()) {
          return rt_.Fail("too many values to unpack (expected " +
                          std::to_string(target.items.size()) + ")");
        }
      }
      if (items.size() < target.items.size()) {
        return rt_.Fail("not enough values to unpack (expected " +
                        std::to_string(target.items.size()) + ", got " +
                        std::to_string(items.size()) + ")");
      }
      for (size_t i = 0; i < items.size(); ++i)
        HEARTH_RETURN_IF_ERROR(Assign(*target.items[i], items[i], scope));
      return {};
    }
    default:
      scope->Set(target.name, std::move(value));
      return {};
  }
}

Result<Value> Evaluator::Capture(const Body& body, const ScopePtr& scope) {
  TextBuilder captured(rt_);
  TextBuilder* outer = std::exchange(out_, &captured);
  const auto flow = Run(body, std::make_shared<Scope>(scope));
  out_ = outer;
  HEARTH_RETURN_IF_ERROR(flow);
  return captured.FinishValue();
}

Status Evaluator::Write(const Text& text) {
  out_bytes_ += text.size_bytes();
  if (out_bytes_ > static_cast<size_t>(rt_.limits().max_output_bytes)) {
    return rt_.Exhausted("the template writes more than " +
                         std::to_string(rt_.limits().max_output_bytes) + " bytes");
  }
  out_->Append(text);
  return out_->ok() ? Status{} : Status(tl::unexpected(out_->Finish().error()));
}

Status Evaluator::WriteValue(const Value& value) {
  if (value.string() != nullptr) return Write(value.text());
  HEARTH_ASSIGN_OR_RETURN(const Text text, Str(rt_, value));
  return Write(text);
}

}  // namespace hearth::jinja
