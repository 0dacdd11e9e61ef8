#pragma once
// Runs a template: statements write to the output, expressions give values.
// Threads: one rendering, one Evaluator, one thread.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/chat_template/ast.h"
#include "runtime/chat_template/loop.h"
#include "runtime/chat_template/macro.h"
#include "runtime/chat_template/runtime.h"
#include "runtime/chat_template/scope.h"

namespace hearth::jinja {

class Evaluator {
 public:
  // `context` holds the template's variables and outlives the evaluator.
  Evaluator(Runtime& rt, const Object& context) : rt_(rt), context_(context) {}

  Result<Text> Render(const Body& body);

 private:
  enum class Flow { kNext, kBreak, kContinue };
  using ScopePtr = std::shared_ptr<Scope>;
  struct Recursion {  // what loop(items) runs
    const Stmt* stmt;
    ScopePtr scope;
    int depth0;
  };

  // statements.cc
  Result<Flow> Run(const Body& body, const ScopePtr& scope);
  Result<Flow> Run(const Stmt& stmt, const ScopePtr& scope);
  Result<Flow> RunIf(const Stmt& stmt, const ScopePtr& scope);
  Result<Flow> RunFor(const Stmt& stmt, const ScopePtr& scope);
  Result<Flow> RunLoop(const Stmt& stmt, const Value& items, const ScopePtr& scope, int depth0);
  Result<Value> Selected(const Stmt& stmt, const Value& items, const ScopePtr& scope);
  Status RunWith(const Stmt& stmt, const ScopePtr& scope);
  Status RunCallBlock(const Stmt& stmt, const ScopePtr& scope);
  Status Assign(const Expr& target, Value value, const ScopePtr& scope);
  // What the body writes, as a value.
  Result<Value> Capture(const Body& body, const ScopePtr& scope);
  Status Write(const Text& text);
  Status WriteValue(const Value& value);

  // expressions.cc
  Result<Value> Evaluate(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateNode(const Expr& expr, const ScopePtr& scope);
  Result<Value> Lookup(const std::string& name, const ScopePtr& scope);
  Result<Value> EvaluateDict(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateSlice(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateCompare(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateConcat(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateCondition(const Expr& expr, const ScopePtr& scope);
  Result<Array> EvaluateAll(const std::vector<ExprPtr>& items, const ScopePtr& scope);
  Result<Arguments> EvaluateArguments(const CallSyntax& call, const ScopePtr& scope);
  // expr (a filter chain whose head has no input) applied to a value.
  Result<Value> ApplyFilter(const Expr& expr, const Value* head, const ScopePtr& scope);
  Result<Value> Call(const Value& callee, Arguments arguments);
  Result<Value> CallMacro(const Macro& macro, Arguments arguments);
  Result<Value> CallLoop(Loop& loop, const Arguments& arguments);

  Runtime& rt_;
  const Object& context_;
  TextBuilder* out_ = nullptr;
  size_t out_bytes_ = 0;  // written to the output in all, captured parts included
  std::map<const Loop*, Recursion> recursions_;
  std::map<std::string, Value, std::less<>> functions_;  // global functions that were looked up
};

}  // namespace hearth::jinja
