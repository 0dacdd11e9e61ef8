// The expressions of a template.

#include <algorithm>
#include <optional>

#include "runtime/chat_template/attributes.h"
#include "runtime/chat_template/evaluator.h"
#include "runtime/chat_template/filters.h"
#include "runtime/chat_template/functions.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/repr.h"

namespace hearth::jinja {

Result<Value> Evaluator::Evaluate(const Expr& expr, const ScopePtr& scope) {
  const Nested nested(rt_);
  HEARTH_RETURN_IF_ERROR(nested.Check());
  HEARTH_RETURN_IF_ERROR(rt_.Step());
  rt_.line = expr.line;
  return EvaluateNode(expr, scope);
}

Result<Value> Evaluator::EvaluateNode(const Expr& expr, const ScopePtr& scope) {
  switch (expr.kind) {
    case Expr::Kind::kConstant:
      return expr.value;
    case Expr::Kind::kName:
      return Lookup(expr.name, scope);
    case Expr::Kind::kTuple:
    case Expr::Kind::kList: {
      HEARTH_ASSIGN_OR_RETURN(Array items, EvaluateAll(expr.items, scope));
      return rt_.NewList(std::move(items),
                         expr.kind == Expr::Kind::kTuple ? List::Kind::kTuple : List::Kind::kList);
    }
    case Expr::Kind::kDict:
      return EvaluateDict(expr, scope);
    case Expr::Kind::kAttribute: {
      HEARTH_ASSIGN_OR_RETURN(const Value object, Evaluate(*expr.items[0], scope));
      return GetAttribute(rt_, object, expr.name);
    }
    case Expr::Kind::kItem: {
      HEARTH_ASSIGN_OR_RETURN(const Value object, Evaluate(*expr.items[0], scope));
      HEARTH_ASSIGN_OR_RETURN(const Value key, Evaluate(*expr.items[1], scope));
      return GetItem(rt_, object, key);
    }
    case Expr::Kind::kSlice:
      return EvaluateSlice(expr, scope);
    case Expr::Kind::kCall: {
      HEARTH_ASSIGN_OR_RETURN(const Value callee, Evaluate(*expr.items[0], scope));
      HEARTH_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(expr.call, scope));
      rt_.line = expr.line;
      return Call(callee, std::move(arguments));
    }
    case Expr::Kind::kFilter:
      return ApplyFilter(expr, nullptr, scope);
    case Expr::Kind::kTest: {
      HEARTH_ASSIGN_OR_RETURN(const Value input, Evaluate(*expr.items[0], scope));
      HEARTH_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expr.call, scope));
      HEARTH_ASSIGN_OR_RETURN(const bool holds, CallTest(rt_, Value(expr.name), input, arguments));
      return Value(holds);
    }
    case Expr::Kind::kNot: {
      HEARTH_ASSIGN_OR_RETURN(const Value operand, Evaluate(*expr.items[0], scope));
      return Value(!Truthy(operand));
    }
    case Expr::Kind::kNegate: {
      HEARTH_ASSIGN_OR_RETURN(const Value operand, Evaluate(*expr.items[0], scope));
      return Negate(rt_, operand);
    }
    case Expr::Kind::kPositive: {
      HEARTH_ASSIGN_OR_RETURN(const Value operand, Evaluate(*expr.items[0], scope));
      return Positive(rt_, operand);
    }
    case Expr::Kind::kBinary: {
      HEARTH_ASSIGN_OR_RETURN(const Value left, Evaluate(*expr.items[0], scope));
      HEARTH_ASSIGN_OR_RETURN(const Value right, Evaluate(*expr.items[1], scope));
      return Binary(rt_, expr.binary, left, right);
    }
    case Expr::Kind::kConcat:
      return EvaluateConcat(expr, scope);
    case Expr::Kind::kCompare:
      return EvaluateCompare(expr, scope);
    case Expr::Kind::kAnd:
    case Expr::Kind::kOr: {
      HEARTH_ASSIGN_OR_RETURN(Value left, Evaluate(*expr.items[0], scope));
      if (Truthy(left) == (expr.kind == Expr::Kind::kOr)) return left;
      return Evaluate(*expr.items[1], scope);
    }
    case Expr::Kind::kCondition:
      return EvaluateCondition(expr, scope);
    case Expr::Kind::kNamespaceAttribute:
      break;  // never an operand
  }
  return rt_.Fail("not an expression");
}

Result<Value> Evaluator::Lookup(const std::string& name, const ScopePtr& scope) {
  if (const Value* value = scope->Find(name)) return *value;
  for (const auto& [key, value] : context_) {
    if (key == name) return value;
  }
  if (const auto known = functions_.find(name); known != functions_.end()) return known->second;
  if (const GlobalFunction* global = FindFunction(name)) {
    HEARTH_ASSIGN_OR_RETURN(Function * function, rt_.New<Function>(global->name, global->fn));
    functions_.emplace(name, Value(function));
    return Value(function);
  }
  return MakeUndefined(rt_, "'" + name + "' is undefined");
}

Result<Array> Evaluator::EvaluateAll(const std::vector<ExprPtr>& items, const ScopePtr& scope) {
  Array values;
  values.reserve(items.size());
  for (const ExprPtr& item : items) {
    HEARTH_ASSIGN_OR_RETURN(Value value, Evaluate(*item, scope));
    values.push_back(std::move(value));
  }
  return values;
}

Result<Value> Evaluator::EvaluateDict(const Expr& expr, const ScopePtr& scope) {
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i < expr.items.size(); i += 2) {
    HEARTH_ASSIGN_OR_RETURN(const Value key, Evaluate(*expr.items[i], scope));
    HEARTH_ASSIGN_OR_RETURN(Value value, Evaluate(*expr.items[i + 1], scope));
    HEARTH_RETURN_IF_ERROR(Insert(rt_, entries, key, std::move(value)));
  }
  return rt_.NewDict(std::move(entries));
}

Result<Value> Evaluator::EvaluateSlice(const Expr& expr, const ScopePtr& scope) {
  HEARTH_ASSIGN_OR_RETURN(const Value object, Evaluate(*expr.items[0], scope));
  Value bounds[3] = {None{}, None{}, None{}};
  for (size_t i = 0; i < 3; ++i) {
    if (expr.items[i + 1] == nullptr) continue;
    HEARTH_ASSIGN_OR_RETURN(bounds[i], Evaluate(*expr.items[i + 1], scope));
  }
  return GetSlice(rt_, object, bounds[0], bounds[1], bounds[2]);
}

Result<Value> Evaluator::EvaluateCompare(const Expr& expr, const ScopePtr& scope) {
  HEARTH_ASSIGN_OR_RETURN(Value left, Evaluate(*expr.items[0], scope));
  for (size_t i = 0; i < expr.compares.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(Value right, Evaluate(*expr.items[i + 1], scope));
    HEARTH_ASSIGN_OR_RETURN(const bool holds, Compare(rt_, expr.compares[i], left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Evaluator::EvaluateConcat(const Expr& expr, const ScopePtr& scope) {
  TextBuilder joined(rt_);
  for (const ExprPtr& item : expr.items) {
    HEARTH_ASSIGN_OR_RETURN(const Value value, Evaluate(*item, scope));
    HEARTH_RETURN_IF_ERROR(AppendStr(rt_, value, joined));
  }
  return joined.FinishValue();
}

Result<Value> Evaluator::EvaluateCondition(const Expr& expr, const ScopePtr& scope) {
  HEARTH_ASSIGN_OR_RETURN(const Value condition, Evaluate(*expr.items[0], scope));
  if (Truthy(condition)) return Evaluate(*expr.items[1], scope);
  if (expr.items[2] != nullptr) return Evaluate(*expr.items[2], scope);
  return MakeUndefined(rt_, "the inline if-expression on line " + std::to_string(expr.line) +
                                " evaluated to false and no else section was defined.");
}

Result<Arguments> Evaluator::EvaluateArguments(const CallSyntax& call, const ScopePtr& scope) {
  Arguments arguments;
  HEARTH_ASSIGN_OR_RETURN(arguments.positional, EvaluateAll(call.positional, scope));
  for (const auto& [name, expr] : call.named) {
    HEARTH_ASSIGN_OR_RETURN(Value value, Evaluate(*expr, scope));
    arguments.named.emplace_back(name, std::move(value));
  }
  if (call.star != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const Value star, Evaluate(*call.star, scope));
    HEARTH_ASSIGN_OR_RETURN(Array more, Collect(rt_, star));
    for (Value& value : more) arguments.positional.push_back(std::move(value));
  }
  if (call.double_star != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const Value more, Evaluate(*call.double_star, scope));
    if (more.dict() == nullptr)
      return rt_.Fail("argument after ** must be a mapping, not " + std::string(TypeName(more)));
    HEARTH_RETURN_IF_ERROR(rt_.Work(more.dict()->entries.size() * 2 * sizeof(Value)));
    for (const auto& [key, value] : more.dict()->entries) {
      if (key.string() == nullptr) return rt_.Fail("keywords must be strings");
      arguments.named.emplace_back(key.text().str(), value);
    }
  }
  return arguments;
}

Result<Value> Evaluator::ApplyFilter(const Expr& expr, const Value* head, const ScopePtr& scope) {
  Value input;
  if (expr.items[0] == nullptr) {
    input = *head;
  } else if (head != nullptr && expr.items[0]->kind == Expr::Kind::kFilter) {
    HEARTH_ASSIGN_OR_RETURN(input, ApplyFilter(*expr.items[0], head, scope));
  } else {
    HEARTH_ASSIGN_OR_RETURN(input, Evaluate(*expr.items[0], scope));
  }
  HEARTH_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expr.call, scope));
  rt_.line = expr.line;
  return CallFilter(rt_, Value(expr.name), input, arguments);
}

Result<Value> Evaluator::Call(const Value& callee, Arguments arguments) {
  if (callee.is_undefined()) return UndefinedError(rt_, callee);
  if (const Macro* macro = AsMacro(callee)) return CallMacro(*macro, std::move(arguments));
  HEARTH_RETURN_IF_ERROR(ChargeInputs(rt_, Value(None{}), arguments));
  if (const Method* method = AsMethod(callee)) {
    if (method->fn == nullptr) {
      return rt_.Unsupported("the method " + std::string(TypeName(method->self)) + "." +
                             std::string(method->name) + "()");
    }
    HEARTH_RETURN_IF_ERROR(ChargeInputs(rt_, method->self, {}));
    return method->fn(rt_, method->self, arguments);
  }
  if (const Function* function = AsFunction(callee)) {
    if (function->fn == nullptr)
      return rt_.Unsupported("the function " + std::string(function->name) + "()");
    return function->fn(rt_, arguments);
  }
  if (Loop* loop = AsLoop(callee)) return CallLoop(*loop, arguments);
  if (Joiner* joiner = AsJoiner(callee))
    return std::exchange(joiner->used, true) ? joiner->separator : Value("");
  return rt_.Fail("'" + std::string(TypeName(callee)) + "' object is not callable");
}

Result<Value> Evaluator::CallMacro(const Macro& macro, Arguments arguments) {
  const Signature& signature = macro.syntax.signature;
  const Body& body = macro.syntax.body;
  const auto scope = std::make_shared<Scope>(macro.scope);
  const size_t num_parameters = signature.parameters.size();
  std::vector<bool> passed(num_parameters, false);
  Array further;
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    if (i < num_parameters) {
      scope->Set(signature.parameters[i], arguments.positional[i]);
      passed[i] = true;
    } else {
      further.push_back(arguments.positional[i]);
    }
  }
  std::vector<std::pair<Value, Value>> keywords;
  std::optional<Value> caller;
  for (auto& [name, value] : arguments.named) {
    const auto found = std::find(signature.parameters.begin(), signature.parameters.end(), name);
    if (found != signature.parameters.end()) {
      const auto i = static_cast<size_t>(found - signature.parameters.begin());
      if (passed[i])
        return rt_.Fail("macro '" + macro.name + "' got multiple values for argument '" + name +
                        "'");
      scope->Set(name, std::move(value));
      passed[i] = true;
    } else if (name == "caller") {
      caller = std::move(value);
    } else {
      keywords.emplace_back(Value(name), std::move(value));
    }
  }
  if (Mentions(body, "caller")) {
    if (caller) {
      scope->Set("caller", *caller);
    } else {
      HEARTH_ASSIGN_OR_RETURN(Value none, MakeUndefined(rt_, "No caller defined"));
      scope->Set("caller", std::move(none));
    }
  } else if (caller) {
    return rt_.Fail("macro '" + macro.name +
                    "' was invoked with two values for the special caller argument. This is most "
                    "likely a bug.");
  }
  if (Mentions(body, "kwargs")) {
    HEARTH_ASSIGN_OR_RETURN(Value dict, rt_.NewDict(std::move(keywords)));
    scope->Set("kwargs", std::move(dict));
  } else if (!keywords.empty()) {
    return rt_.Fail("macro '" + macro.name + "' takes no keyword argument '" +
                    keywords[0].first.text().str() + "'");
  }
  if (Mentions(body, "varargs")) {
    HEARTH_ASSIGN_OR_RETURN(Value tuple, rt_.NewList(std::move(further), List::Kind::kTuple));
    scope->Set("varargs", std::move(tuple));
  } else if (!further.empty()) {
    return rt_.Fail("macro '" + macro.name + "' takes not more than " +
                    std::to_string(num_parameters) + " argument(s)");
  }
  for (size_t i = 0; i < num_parameters; ++i) {
    if (passed[i]) continue;
    const size_t num_required = num_parameters - signature.defaults.size();
    Value value;
    if (i >= num_required) {
      HEARTH_ASSIGN_OR_RETURN(value, Evaluate(*signature.defaults[i - num_required], scope));
    } else {
      HEARTH_ASSIGN_OR_RETURN(value, MakeUndefined(rt_, "parameter '" + signature.parameters[i] +
                                                            "' was not provided"));
    }
    scope->Set(signature.parameters[i], std::move(value));
  }
  return Capture(body, scope);
}

// loop(items): the body of a recursive loop again, one level deeper.
Result<Value> Evaluator::CallLoop(Loop& loop, const Arguments& arguments) {
  const auto found = recursions_.find(&loop);
  if (found == recursions_.end()) {
    return rt_.Fail("The loop must have the 'recursive' marker to be called recursively.");
  }
  if (arguments.positional.size() != 1) return rt_.Fail("loop() takes one argument");
  const Recursion recursion = found->second;
  TextBuilder captured(rt_);
  TextBuilder* outer = std::exchange(out_, &captured);
  const auto flow =
      RunLoop(*recursion.stmt, arguments.positional[0], recursion.scope, recursion.depth0 + 1);
  out_ = outer;
  HEARTH_RETURN_IF_ERROR(flow);
  return captured.FinishValue();
}

}  // namespace hearth::jinja
