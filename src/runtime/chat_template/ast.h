#pragma once
// The syntax tree of a template. Depths are bounded by the parser, so walking and dropping a tree
// needs bounded stack. Immutable after parsing.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/value.h"

namespace hearth::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

// What a call, filter or test is given, unevaluated.
struct CallSyntax {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, double_star;  // *args, **kwargs; null where absent
};

struct Expr {
  enum class Kind {
    kConstant,            // value
    kName,                // name
    kNamespaceAttribute,  // name.attribute; only as an assignment target
    kTuple,               // items; also an assignment target
    kList,                // items
    kDict,                // items: key, value, key, value, ...
    kAttribute,           // items[0].name
    kItem,                // items[0][items[1]]
    kSlice,               // items[0][items[1]:items[2]:items[3]], null where absent
    kCall,                // items[0](call)
    kFilter,              // items[0]|name(call); items[0] is null at the head of a filter block
    kTest,                // items[0] is name(call)
    kNot,
    kNegate,
    kPositive,
    kBinary,   // items[0] binary items[1]
    kConcat,   // items joined as strings
    kCompare,  // items[0] compares[0] items[1] compares[1] items[2] ...
    kAnd,
    kOr,
    kCondition,  // items[1] if items[0] else items[2], which may be null
  };
  Kind kind;
  int line = 0;
  int depth = 1;
  Value value;
  std::string name, attribute;
  std::vector<ExprPtr> items;
  CallSyntax call;
  BinaryOp binary = BinaryOp::kAdd;
  std::vector<CompareOp> compares;
};

struct Stmt;
using Body = std::vector<std::unique_ptr<const Stmt>>;

// The parameters of a macro or a call block; the last defaults.size() of them have a default.
struct Signature {
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;
};

struct Stmt {
  enum class Kind {
    kText,       // text
    kOutput,     // expr
    kIf,         // branches, else_body
    kFor,        // target in expr if condition: body, else_body
    kSet,        // target = expr
    kSetBlock,   // target = body, through expr (a filter) if there is one
    kMacro,      // name, signature, body
    kCallBlock,  // expr (a call) with body as its caller
    kFilter,     // body through expr
    kWith,       // names = values: body
    kScope,      // body alone: {% generation %}, {% block %}
    kBreak,
    kContinue,
  };
  struct Branch {
    ExprPtr condition;
    Body body;
  };
  Kind kind;
  int line = 0;
  Text text;
  std::string name;
  ExprPtr expr, target, condition;
  bool recursive = false;
  Signature signature;
  std::vector<Branch> branches;
  std::vector<ExprPtr> names, values;
  Body body, else_body;
};

}  // namespace hearth::jinja
