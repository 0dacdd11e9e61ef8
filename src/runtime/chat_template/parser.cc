#include "runtime/chat_template/parser.h"

#include <algorithm>
#include <initializer_list>
#include <span>

#include "runtime/chat_template/lexer.h"
#include "runtime/chat_template/number.h"

namespace hearth::jinja {
namespace {

// A long row of a + b + c leans to the left: such trees may be deeper than brackets nest.
constexpr int kTreeDepthPerDepth = 5;

class Parser {
 public:
  Parser(std::vector<Token> tokens, int max_depth)
      : tokens_(std::move(tokens)), max_depth_(max_depth) {}

  Result<Body> ParseTemplate() { return ParseBody({}); }

 private:
  using Names = std::initializer_list<std::string_view>;
  using ExprResult = Result<ExprPtr>;
  using MutableExpr = std::unique_ptr<Expr>;

  // One level of recursion for as long as it lives.
  class Level {
   public:
    explicit Level(Parser& parser) : parser_(parser) { ++parser_.level_; }
    ~Level() { --parser_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    Status Check() const {
      if (parser_.level_ > parser_.max_depth_) return parser_.TooDeep();
      return {};
    }

   private:
    Parser& parser_;
  };

  const Token& current() const { return tokens_[position_]; }
  const Token& ahead() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  void Next() {
    if (position_ + 1 < tokens_.size()) ++position_;
  }
  bool SkipName(std::string_view name) {
    if (!current().IsName(name)) return false;
    Next();
    return true;
  }
  bool SkipOperator(std::string_view op) {
    if (!current().IsOperator(op)) return false;
    Next();
    return true;
  }

  tl::unexpected<Error> Fail(const std::string& message) const {
    return MakeError(ErrorCode::kCorrupt,
                     "line " + std::to_string(current().line) + ": " + message);
  }
  tl::unexpected<Error> TooDeep() const {
    return MakeError(ErrorCode::kResourceExhausted, "line " + std::to_string(current().line) +
                                                        ": the template nests deeper than " +
                                                        std::to_string(max_depth_) + " levels");
  }

  std::string Describe() const {
    switch (current().kind) {
      case Token::Kind::kEnd:
        return "end of template";
      case Token::Kind::kVariableEnd:
        return "end of print statement";
      case Token::Kind::kBlockEnd:
        return "end of statement block";
      case Token::Kind::kVariableBegin:
        return "begin of print statement";
      case Token::Kind::kBlockBegin:
        return "begin of statement block";
      case Token::Kind::kData:
        return "template data";
      case Token::Kind::kString:
        return "string";
      default:
        return "'" + current().text.substr(0, 60) + "'";
    }
  }

  Status ExpectOperator(std::string_view op) {
    if (SkipOperator(op)) return {};
    return Fail("expected '" + std::string(op) + "', got " + Describe());
  }
  Result<std::string> ExpectName() {
    if (current().kind != Token::Kind::kName) return Fail("expected a name, got " + Describe());
    std::string name = current().text;
    Next();
    return name;
  }
  Status Expect(Token::Kind kind, const char* what) {
    if (current().kind != kind)
      return Fail(std::string("expected ") + what + ", got " + Describe());
    Next();
    return {};
  }

  MutableExpr Make(Expr::Kind kind, int line) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = line;
    return expr;
  }
  // Seals a node: its depth is known once its children are.
  ExprResult Seal(MutableExpr expr) const {
    int deepest = 0;
    const auto see = [&](const ExprPtr& child) {
      if (child != nullptr) deepest = std::max(deepest, child->depth);
    };
    for (const ExprPtr& item : expr->items) see(item);
    for (const ExprPtr& item : expr->call.positional) see(item);
    for (const auto& [name, item] : expr->call.named) see(item);
    see(expr->call.star);
    see(expr->call.double_star);
    expr->depth = deepest + 1;
    if (expr->depth > max_depth_ * kTreeDepthPerDepth) return TooDeep();
    return ExprPtr(std::move(expr));
  }

  // ---- statements ----

  // Up to a block that begins with one of `ends`, whose name is then current; with none, up to the
  // end.
  Result<Body> ParseBody(Names ends) {
    const Level level(*this);
    HEARTH_RETURN_IF_ERROR(level.Check());
    Body body;
    for (;;) {
      switch (current().kind) {
        case Token::Kind::kEnd:
          if (ends.size() == 0) return body;
          return Fail("unexpected end of template, looking for '" + std::string(*(ends.end() - 1)) +
                      "'");
        case Token::Kind::kData: {
          auto stmt = MakeStmt(Stmt::Kind::kText);
          stmt->text = Text(current().text);
          Next();
          body.push_back(std::move(stmt));
          break;
        }
        case Token::Kind::kVariableBegin: {
          Next();
          auto stmt = MakeStmt(Stmt::Kind::kOutput);
          HEARTH_ASSIGN_OR_RETURN(stmt->expr, ParseTuple());
          HEARTH_RETURN_IF_ERROR(Expect(Token::Kind::kVariableEnd, "end of print statement"));
          body.push_back(std::move(stmt));
          break;
        }
        case Token::Kind::kBlockBegin: {
          Next();
          if (std::any_of(ends.begin(), ends.end(),
                          [&](std::string_view end) { return current().IsName(end); }))
            return body;
          HEARTH_RETURN_IF_ERROR(ParseStatement(body));
          HEARTH_RETURN_IF_ERROR(Expect(Token::Kind::kBlockEnd, "end of statement block"));
          break;
        }
        default:
          return Fail("unexpected " + Describe());
      }
    }
  }

  // The body of a statement whose head has been read.
  Result<Body> ParseBlock(Names ends) {
    SkipOperator(":");
    HEARTH_RETURN_IF_ERROR(Expect(Token::Kind::kBlockEnd, "end of statement block"));
    return ParseBody(ends);
  }

  std::unique_ptr<Stmt> MakeStmt(Stmt::Kind kind) const {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = current().line;
    return stmt;
  }

  Status ParseStatement(Body& body) {
    if (current().kind != Token::Kind::kName) return Fail("tag name expected, got " + Describe());
    const std::string tag = current().text;
    auto stmt = MakeStmt(Stmt::Kind::kScope);
    Next();
    if (tag == "print") return ParsePrint(body);
    Status parsed;
    if (tag == "if") {
      parsed = ParseIf(*stmt);
    } else if (tag == "for") {
      parsed = ParseFor(*stmt);
    } else if (tag == "set") {
      parsed = ParseSet(*stmt);
    } else if (tag == "macro") {
      parsed = ParseMacro(*stmt);
    } else if (tag == "call") {
      parsed = ParseCallBlock(*stmt);
    } else if (tag == "filter") {
      parsed = ParseFilterBlock(*stmt);
    } else if (tag == "with") {
      parsed = ParseWith(*stmt);
    } else if (tag == "generation") {
      parsed = ParseScope(*stmt, "endgeneration");
    } else if (tag == "break" || tag == "continue") {
      stmt->kind = tag == "break" ? Stmt::Kind::kBreak : Stmt::Kind::kContinue;
      if (loop_level_ == 0) return Fail("'" + tag + "' outside of a loop");
    } else if (tag == "include" || tag == "import" || tag == "from" || tag == "extends" ||
               tag == "block" || tag == "autoescape") {
      return MakeError(ErrorCode::kUnsupported,
                       "line " + std::to_string(current().line) + ": the tag '" + tag + "'");
    } else {
      return Fail("Encountered unknown tag '" + tag + "'.");
    }
    HEARTH_RETURN_IF_ERROR(std::move(parsed));
    body.push_back(std::move(stmt));
    return {};
  }

  Status ParsePrint(Body& body) {
    bool first = true;
    while (current().kind != Token::Kind::kBlockEnd) {
      if (!std::exchange(first, false)) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      auto stmt = MakeStmt(Stmt::Kind::kOutput);
      HEARTH_ASSIGN_OR_RETURN(stmt->expr, ParseExpression());
      body.push_back(std::move(stmt));
    }
    return {};
  }

  Status ParseIf(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kIf;
    for (;;) {
      Stmt::Branch branch;
      HEARTH_ASSIGN_OR_RETURN(branch.condition, ParseTuple(false));
      HEARTH_ASSIGN_OR_RETURN(branch.body, ParseBlock({"elif", "else", "endif"}));
      stmt.branches.push_back(std::move(branch));
      if (SkipName("elif")) continue;
      if (SkipName("else")) {
        HEARTH_ASSIGN_OR_RETURN(stmt.else_body, ParseBlock({"endif"}));
      }
      Next();  // endif
      return {};
    }
  }

  Status ParseFor(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kFor;
    HEARTH_ASSIGN_OR_RETURN(stmt.target, ParseTarget(false, {"in"}));
    if (!SkipName("in")) return Fail("expected 'in', got " + Describe());
    HEARTH_ASSIGN_OR_RETURN(stmt.expr, ParseTuple(false, {"recursive"}));
    if (SkipName("if")) {
      HEARTH_ASSIGN_OR_RETURN(stmt.condition, ParseExpression());
    }
    stmt.recursive = SkipName("recursive");
    ++loop_level_;
    HEARTH_ASSIGN_OR_RETURN(stmt.body, ParseBlock({"else", "endfor"}));
    --loop_level_;
    if (SkipName("else")) {
      HEARTH_ASSIGN_OR_RETURN(stmt.else_body, ParseBlock({"endfor"}));
    }
    Next();  // endfor
    return {};
  }

  Status ParseSet(Stmt& stmt) {
    HEARTH_ASSIGN_OR_RETURN(stmt.target, ParseTarget(true, {}));
    if (SkipOperator("=")) {
      stmt.kind = Stmt::Kind::kSet;
      HEARTH_ASSIGN_OR_RETURN(stmt.expr, ParseTuple());
      return {};
    }
    stmt.kind = Stmt::Kind::kSetBlock;
    if (current().IsOperator("|")) {
      HEARTH_ASSIGN_OR_RETURN(stmt.expr, ParseFilters(nullptr, false));
    }
    HEARTH_ASSIGN_OR_RETURN(stmt.body, ParseBlock({"endset"}));
    Next();
    return {};
  }

  Status ParseSignature(Signature& signature) {
    HEARTH_RETURN_IF_ERROR(ExpectOperator("("));
    while (!current().IsOperator(")")) {
      if (!signature.parameters.empty()) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      HEARTH_ASSIGN_OR_RETURN(std::string name, ExpectName());
      signature.parameters.push_back(std::move(name));
      if (SkipOperator("=")) {
        HEARTH_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
        signature.defaults.push_back(std::move(value));
      } else if (!signature.defaults.empty()) {
        return Fail("non-default argument follows default argument");
      }
    }
    return ExpectOperator(")");
  }

  // break and continue do not reach out of a macro.
  Result<Body> ParseMacroBody(std::string_view end) {
    const int loops_outside = std::exchange(loop_level_, 0);
    auto body = ParseBlock({end});
    loop_level_ = loops_outside;
    if (body) Next();
    return body;
  }

  Status ParseMacro(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kMacro;
    HEARTH_ASSIGN_OR_RETURN(stmt.name, ExpectName());
    HEARTH_RETURN_IF_ERROR(ParseSignature(stmt.signature));
    HEARTH_ASSIGN_OR_RETURN(stmt.body, ParseMacroBody("endmacro"));
    return {};
  }

  Status ParseCallBlock(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kCallBlock;
    if (current().IsOperator("(")) HEARTH_RETURN_IF_ERROR(ParseSignature(stmt.signature));
    HEARTH_ASSIGN_OR_RETURN(stmt.expr, ParseExpression());
    if (stmt.expr->kind != Expr::Kind::kCall) return Fail("expected call");
    HEARTH_ASSIGN_OR_RETURN(stmt.body, ParseMacroBody("endcall"));
    return {};
  }

  Status ParseFilterBlock(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kFilter;
    HEARTH_ASSIGN_OR_RETURN(stmt.expr, ParseFilters(nullptr, true));
    HEARTH_ASSIGN_OR_RETURN(stmt.body, ParseBlock({"endfilter"}));
    Next();
    return {};
  }

  Status ParseWith(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kWith;
    while (current().kind != Token::Kind::kBlockEnd) {
      if (!stmt.names.empty()) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      HEARTH_ASSIGN_OR_RETURN(ExprPtr name, ParseTarget(false, {}));
      stmt.names.push_back(std::move(name));
      HEARTH_RETURN_IF_ERROR(ExpectOperator("="));
      HEARTH_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
      stmt.values.push_back(std::move(value));
    }
    return ParseScope(stmt, "endwith");
  }

  Status ParseScope(Stmt& stmt, std::string_view end) {
    HEARTH_ASSIGN_OR_RETURN(stmt.body, ParseBlock({end}));
    Next();
    return {};
  }

  // Where an assignment goes: a name, a tuple of names, or (with_namespace) an attribute of a
  // namespace.
  ExprResult ParseTarget(bool with_namespace, Names ends) {
    const int line = current().line;
    std::vector<ExprPtr> targets;
    bool is_tuple = false;
    for (;;) {
      if (!targets.empty()) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      if (IsTupleEnd(ends)) break;
      HEARTH_ASSIGN_OR_RETURN(ExprPtr target, ParseOneTarget(with_namespace));
      targets.push_back(std::move(target));
      if (!current().IsOperator(",")) break;
      is_tuple = true;
    }
    if (!is_tuple && !targets.empty()) return std::move(targets[0]);
    if (targets.empty()) return Fail("expected a name, got " + Describe());
    MutableExpr tuple = Make(Expr::Kind::kTuple, line);
    tuple->items = std::move(targets);
    return Seal(std::move(tuple));
  }

  ExprResult ParseOneTarget(bool with_namespace) {
    const Level level(*this);
    HEARTH_RETURN_IF_ERROR(level.Check());
    const int line = current().line;
    if (SkipOperator("(")) {
      HEARTH_ASSIGN_OR_RETURN(ExprPtr inner, ParseTarget(with_namespace, {}));
      HEARTH_RETURN_IF_ERROR(ExpectOperator(")"));
      return inner;
    }
    if (current().kind != Token::Kind::kName) return Fail("can't assign to " + Describe());
    static constexpr std::string_view kLiterals[] = {"true", "false", "none",
                                                     "True", "False", "None"};
    if (std::ranges::count(kLiterals, std::string_view(current().text)) > 0)
      return Fail("can't assign to " + Describe());
    MutableExpr target = Make(Expr::Kind::kName, line);
    HEARTH_ASSIGN_OR_RETURN(target->name, ExpectName());
    if (with_namespace && SkipOperator(".")) {
      target->kind = Expr::Kind::kNamespaceAttribute;
      HEARTH_ASSIGN_OR_RETURN(target->attribute, ExpectName());
    }
    return Seal(std::move(target));
  }

  // ---- expressions ----

  bool IsTupleEnd(Names ends) const {
    if (current().kind == Token::Kind::kVariableEnd || current().kind == Token::Kind::kBlockEnd ||
        current().IsOperator(")")) {
      return true;
    }
    return std::any_of(ends.begin(), ends.end(),
                       [&](std::string_view end) { return current().IsName(end); });
  }

  ExprResult ParseTuple(bool with_condition = true, Names ends = {}, bool in_parentheses = false) {
    const int line = current().line;
    std::vector<ExprPtr> items;
    bool is_tuple = false;
    for (;;) {
      if (!items.empty()) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      if (IsTupleEnd(ends)) break;
      HEARTH_ASSIGN_OR_RETURN(ExprPtr item, ParseExpression(with_condition));
      items.push_back(std::move(item));
      if (!current().IsOperator(",")) break;
      is_tuple = true;
    }
    if (!is_tuple) {
      if (!items.empty()) return std::move(items[0]);
      if (!in_parentheses) return Fail("Expected an expression, got " + Describe());
    }
    MutableExpr tuple = Make(Expr::Kind::kTuple, line);
    tuple->items = std::move(items);
    return Seal(std::move(tuple));
  }

  ExprResult ParseExpression(bool with_condition = true) {
    const Level level(*this);
    HEARTH_RETURN_IF_ERROR(level.Check());
    if (!with_condition) return ParseOr();
    const int line = current().line;
    HEARTH_ASSIGN_OR_RETURN(ExprPtr expr, ParseOr());
    while (SkipName("if")) {
      MutableExpr condition = Make(Expr::Kind::kCondition, line);
      HEARTH_ASSIGN_OR_RETURN(ExprPtr test, ParseOr());
      condition->items.push_back(std::move(test));
      condition->items.push_back(std::move(expr));
      condition->items.push_back(nullptr);
      if (SkipName("else")) {
        HEARTH_ASSIGN_OR_RETURN(condition->items[2], ParseExpression());
      }
      HEARTH_ASSIGN_OR_RETURN(expr, Seal(std::move(condition)));
    }
    return expr;
  }

  ExprResult Pair(Expr::Kind kind, ExprPtr left, ExprPtr right, int line) const {
    MutableExpr expr = Make(kind, line);
    expr->items.push_back(std::move(left));
    expr->items.push_back(std::move(right));
    return Seal(std::move(expr));
  }

  ExprResult ParseOr() {
    const int line = current().line;
    HEARTH_ASSIGN_OR_RETURN(ExprPtr left, ParseAnd());
    while (SkipName("or")) {
      HEARTH_ASSIGN_OR_RETURN(ExprPtr right, ParseAnd());
      HEARTH_ASSIGN_OR_RETURN(left, Pair(Expr::Kind::kOr, std::move(left), std::move(right), line));
    }
    return left;
  }

  ExprResult ParseAnd() {
    const int line = current().line;
    HEARTH_ASSIGN_OR_RETURN(ExprPtr left, ParseNot());
    while (SkipName("and")) {
      HEARTH_ASSIGN_OR_RETURN(ExprPtr right, ParseNot());
      HEARTH_ASSIGN_OR_RETURN(left,
                              Pair(Expr::Kind::kAnd, std::move(left), std::move(right), line));
    }
    return left;
  }

  ExprResult Single(Expr::Kind kind, ExprPtr operand, int line) const {
    MutableExpr expr = Make(kind, line);
    expr->items.push_back(std::move(operand));
    return Seal(std::move(expr));
  }

  ExprResult ParseNot() {
    const int line = current().line;
    if (!SkipName("not")) return ParseCompare();
    const Level level(*this);
    HEARTH_RETURN_IF_ERROR(level.Check());
    HEARTH_ASSIGN_OR_RETURN(ExprPtr operand, ParseNot());
    return Single(Expr::Kind::kNot, std::move(operand), line);
  }

  std::optional<CompareOp> SkipCompareOperator() {
    static constexpr std::pair<std::string_view, CompareOp> kOps[] = {
        {"==", CompareOp::kEqual},  {"!=", CompareOp::kNotEqual},
        {"<", CompareOp::kLess},    {"<=", CompareOp::kLessEqual},
        {">", CompareOp::kGreater}, {">=", CompareOp::kGreaterEqual}};
    for (const auto& [text, op] : kOps) {
      if (SkipOperator(text)) return op;
    }
    if (SkipName("in")) return CompareOp::kIn;
    if (current().IsName("not") && ahead().IsName("in")) {
      Next();
      Next();
      return CompareOp::kNotIn;
    }
    return std::nullopt;
  }

  ExprResult ParseCompare() {
    MutableExpr compare = Make(Expr::Kind::kCompare, current().line);
    HEARTH_ASSIGN_OR_RETURN(ExprPtr first, ParseSum());
    compare->items.push_back(std::move(first));
    while (const auto op = SkipCompareOperator()) {
      HEARTH_ASSIGN_OR_RETURN(ExprPtr operand, ParseSum());
      compare->compares.push_back(*op);
      compare->items.push_back(std::move(operand));
    }
    if (compare->compares.empty()) return std::move(compare->items[0]);
    return Seal(std::move(compare));
  }

  using BinaryOps = std::initializer_list<std::pair<std::string_view, BinaryOp>>;
  ExprResult ParseBinary(BinaryOps ops, ExprResult (Parser::*operand)()) {
    const int line = current().line;
    HEARTH_ASSIGN_OR_RETURN(ExprPtr left, (this->*operand)());
    for (;;) {
      const auto op = std::find_if(ops.begin(), ops.end(), [&](const auto& entry) {
        return current().IsOperator(entry.first);
      });
      if (op == ops.end()) return left;
      Next();
      MutableExpr binary = Make(Expr::Kind::kBinary, line);
      binary->binary = op->second;
      HEARTH_ASSIGN_OR_RETURN(ExprPtr right, (this->*operand)());
      binary->items.push_back(std::move(left));
      binary->items.push_back(std::move(right));
      HEARTH_ASSIGN_OR_RETURN(left, Seal(std::move(binary)));
    }
  }

  ExprResult ParseSum() {
    return ParseBinary({{"+", BinaryOp::kAdd}, {"-", BinaryOp::kSubtract}}, &Parser::ParseConcat);
  }

  ExprResult ParseConcat() {
    MutableExpr concat = Make(Expr::Kind::kConcat, current().line);
    do {
      HEARTH_ASSIGN_OR_RETURN(ExprPtr item, ParseProduct());
      concat->items.push_back(std::move(item));
    } while (SkipOperator("~"));
    if (concat->items.size() == 1) return std::move(concat->items[0]);
    return Seal(std::move(concat));
  }

  ExprResult ParseProduct() {
    return ParseBinary({{"*", BinaryOp::kMultiply},
                        {"/", BinaryOp::kDivide},
                        {"//", BinaryOp::kFloorDivide},
                        {"%", BinaryOp::kModulo}},
                       &Parser::ParsePower);
  }
  ExprResult ParsePower() {
    return ParseBinary({{"**", BinaryOp::kPower}}, &Parser::ParseFiltered);
  }
  ExprResult ParseFiltered() { return ParseUnary(true); }

  ExprResult ParseUnary(bool with_filter) {
    const Level level(*this);
    HEARTH_RETURN_IF_ERROR(level.Check());
    const int line = current().line;
    ExprPtr node;
    if (current().IsOperator("-") || current().IsOperator("+")) {
      const auto kind = current().IsOperator("-") ? Expr::Kind::kNegate : Expr::Kind::kPositive;
      Next();
      HEARTH_ASSIGN_OR_RETURN(ExprPtr operand, ParseUnary(false));
      HEARTH_ASSIGN_OR_RETURN(node, Single(kind, std::move(operand), line));
    } else {
      HEARTH_ASSIGN_OR_RETURN(node, ParsePrimary());
    }
    HEARTH_ASSIGN_OR_RETURN(node, ParsePostfix(std::move(node)));
    if (!with_filter) return node;
    for (;;) {
      if (current().IsOperator("|")) {
        HEARTH_ASSIGN_OR_RETURN(node, ParseFilters(std::move(node), false));
      } else if (current().IsName("is")) {
        HEARTH_ASSIGN_OR_RETURN(node, ParseTest(std::move(node)));
      } else if (current().IsOperator("(")) {
        HEARTH_ASSIGN_OR_RETURN(node, ParseCall(std::move(node)));
      } else {
        return node;
      }
    }
  }

  ExprResult Constant(Value value, int line) const {
    MutableExpr constant = Make(Expr::Kind::kConstant, line);
    constant->value = std::move(value);
    return Seal(std::move(constant));
  }

  ExprResult ParsePrimary() {
    const Token token = current();
    switch (token.kind) {
      case Token::Kind::kName: {
        Next();
        if (token.text == "true" || token.text == "True") return Constant(Value(true), token.line);
        if (token.text == "false" || token.text == "False")
          return Constant(Value(false), token.line);
        if (token.text == "none" || token.text == "None")
          return Constant(Value(None{}), token.line);
        MutableExpr name = Make(Expr::Kind::kName, token.line);
        name->name = token.text;
        return Seal(std::move(name));
      }
      case Token::Kind::kString: {
        std::string text;
        for (; current().kind == Token::Kind::kString; Next()) text += current().text;
        return Constant(Value(std::move(text)), token.line);
      }
      case Token::Kind::kInteger: {
        const auto parsed = ParseInt(token.text, 0);
        if (!parsed) return Fail("'" + token.text + "' is no integer");
        if (parsed->overflow)
          return MakeError(ErrorCode::kUnsupported,
                           "line " + std::to_string(token.line) + ": the integer " +
                               token.text.substr(0, 60) + " does not fit 64 bits");
        Next();
        return Constant(Value(parsed->value), token.line);
      }
      case Token::Kind::kFloat: {
        const auto parsed = ParseFloat(token.text);
        if (!parsed) return Fail("'" + token.text + "' is no number");
        Next();
        return Constant(Value(*parsed), token.line);
      }
      default:
        break;
    }
    if (SkipOperator("(")) {
      HEARTH_ASSIGN_OR_RETURN(ExprPtr inner, ParseTuple(true, {}, true));
      HEARTH_RETURN_IF_ERROR(ExpectOperator(")"));
      return inner;
    }
    if (SkipOperator("[")) return ParseList(token.line);
    if (SkipOperator("{")) return ParseDict(token.line);
    return Fail("unexpected " + Describe());
  }

  ExprResult ParseList(int line) {
    MutableExpr list = Make(Expr::Kind::kList, line);
    while (!current().IsOperator("]")) {
      if (!list->items.empty()) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      if (current().IsOperator("]")) break;
      HEARTH_ASSIGN_OR_RETURN(ExprPtr item, ParseExpression());
      list->items.push_back(std::move(item));
    }
    HEARTH_RETURN_IF_ERROR(ExpectOperator("]"));
    return Seal(std::move(list));
  }

  ExprResult ParseDict(int line) {
    MutableExpr dict = Make(Expr::Kind::kDict, line);
    while (!current().IsOperator("}")) {
      if (!dict->items.empty()) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      if (current().IsOperator("}")) break;
      HEARTH_ASSIGN_OR_RETURN(ExprPtr key, ParseExpression());
      HEARTH_RETURN_IF_ERROR(ExpectOperator(":"));
      HEARTH_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
      dict->items.push_back(std::move(key));
      dict->items.push_back(std::move(value));
    }
    HEARTH_RETURN_IF_ERROR(ExpectOperator("}"));
    return Seal(std::move(dict));
  }

  ExprResult ParsePostfix(ExprPtr node) {
    for (;;) {
      if (current().IsOperator(".") || current().IsOperator("[")) {
        HEARTH_ASSIGN_OR_RETURN(node, ParseSubscript(std::move(node)));
      } else if (current().IsOperator("(")) {
        HEARTH_ASSIGN_OR_RETURN(node, ParseCall(std::move(node)));
      } else {
        return node;
      }
    }
  }

  ExprResult ParseSubscript(ExprPtr node) {
    const int line = current().line;
    if (SkipOperator(".")) {
      if (current().kind == Token::Kind::kInteger) {
        HEARTH_ASSIGN_OR_RETURN(ExprPtr index, ParsePrimary());
        return Pair(Expr::Kind::kItem, std::move(node), std::move(index), line);
      }
      MutableExpr attribute = Make(Expr::Kind::kAttribute, line);
      HEARTH_ASSIGN_OR_RETURN(attribute->name, ExpectName());
      attribute->items.push_back(std::move(node));
      return Seal(std::move(attribute));
    }
    Next();  // [
    // Jinja reads x[a, b] as an item whose key is a tuple; slices in one are an error for every
    // type we have.
    MutableExpr slice = Make(Expr::Kind::kSlice, line);
    slice->items.push_back(std::move(node));
    std::vector<ExprPtr> keys;
    bool is_slice = false;
    while (!current().IsOperator("]")) {
      if (!keys.empty()) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      HEARTH_ASSIGN_OR_RETURN(ExprPtr key, ParseSliceOrKey(*slice, is_slice));
      if (is_slice) break;
      keys.push_back(std::move(key));
    }
    HEARTH_RETURN_IF_ERROR(ExpectOperator("]"));
    if (is_slice) {
      if (!keys.empty()) return Fail("a slice among several subscripts");
      return Seal(std::move(slice));
    }
    if (keys.empty()) return Fail("expected a subscript");
    MutableExpr item = Make(Expr::Kind::kItem, line);
    item->items.push_back(std::move(slice->items[0]));
    if (keys.size() == 1) {
      item->items.push_back(std::move(keys[0]));
    } else {
      MutableExpr tuple = Make(Expr::Kind::kTuple, line);
      tuple->items = std::move(keys);
      HEARTH_ASSIGN_OR_RETURN(ExprPtr key, Seal(std::move(tuple)));
      item->items.push_back(std::move(key));
    }
    return Seal(std::move(item));
  }

  // One subscript: a key, or the bounds of a slice, which are added to `slice`.
  ExprResult ParseSliceOrKey(Expr& slice, bool& is_slice) {
    ExprPtr first;
    if (!current().IsOperator(":")) {
      HEARTH_ASSIGN_OR_RETURN(first, ParseExpression());
      if (!current().IsOperator(":")) return first;
    }
    is_slice = true;
    slice.items.push_back(std::move(first));
    for (int bound = 0; bound < 2; ++bound) {
      ExprPtr value;
      if (SkipOperator(":") && !current().IsOperator("]") && !current().IsOperator(",") &&
          !current().IsOperator(":")) {
        HEARTH_ASSIGN_OR_RETURN(value, ParseExpression());
      }
      slice.items.push_back(std::move(value));
    }
    return ExprPtr();
  }

  Result<CallSyntax> ParseArguments() {
    CallSyntax call;
    HEARTH_RETURN_IF_ERROR(ExpectOperator("("));
    bool needs_comma = false;
    while (!current().IsOperator(")")) {
      if (needs_comma) {
        HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
        if (current().IsOperator(")")) break;
      }
      needs_comma = true;
      if (current().IsOperator("*") && call.star == nullptr && call.double_star == nullptr) {
        Next();
        HEARTH_ASSIGN_OR_RETURN(call.star, ParseExpression());
      } else if (current().IsOperator("**") && call.double_star == nullptr) {
        Next();
        HEARTH_ASSIGN_OR_RETURN(call.double_star, ParseExpression());
      } else if (current().kind == Token::Kind::kName && ahead().IsOperator("=") &&
                 call.double_star == nullptr) {
        HEARTH_ASSIGN_OR_RETURN(std::string name, ExpectName());
        Next();  // =
        HEARTH_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
        call.named.emplace_back(std::move(name), std::move(value));
      } else if (call.named.empty() && call.star == nullptr && call.double_star == nullptr) {
        HEARTH_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
        call.positional.push_back(std::move(value));
      } else {
        return Fail("invalid syntax for function call expression");
      }
    }
    HEARTH_RETURN_IF_ERROR(ExpectOperator(")"));
    return call;
  }

  ExprResult ParseCall(ExprPtr callee) {
    MutableExpr call = Make(Expr::Kind::kCall, current().line);
    HEARTH_ASSIGN_OR_RETURN(call->call, ParseArguments());
    call->items.push_back(std::move(callee));
    return Seal(std::move(call));
  }

  Result<std::string> ParseDottedName() {
    HEARTH_ASSIGN_OR_RETURN(std::string name, ExpectName());
    while (SkipOperator(".")) {
      HEARTH_ASSIGN_OR_RETURN(const std::string part, ExpectName());
      name += "." + part;
    }
    return name;
  }

  // `inline_start`: the first filter stands without its bar, as in {% filter upper %}.
  ExprResult ParseFilters(ExprPtr input, bool inline_start) {
    while (inline_start || current().IsOperator("|")) {
      if (!inline_start) Next();
      inline_start = false;
      MutableExpr filter = Make(Expr::Kind::kFilter, current().line);
      HEARTH_ASSIGN_OR_RETURN(filter->name, ParseDottedName());
      if (current().IsOperator("(")) {
        HEARTH_ASSIGN_OR_RETURN(filter->call, ParseArguments());
      }
      filter->items.push_back(std::move(input));
      HEARTH_ASSIGN_OR_RETURN(input, Seal(std::move(filter)));
    }
    return input;
  }

  ExprResult ParseTest(ExprPtr input) {
    const int line = current().line;
    Next();  // is
    const bool negated = SkipName("not");
    MutableExpr test = Make(Expr::Kind::kTest, line);
    HEARTH_ASSIGN_OR_RETURN(test->name, ParseDottedName());
    const Token& token = current();
    const bool starts_value =
        token.kind == Token::Kind::kName || token.kind == Token::Kind::kString ||
        token.kind == Token::Kind::kInteger || token.kind == Token::Kind::kFloat ||
        token.IsOperator("[") || token.IsOperator("{");
    if (token.IsOperator("(")) {
      HEARTH_ASSIGN_OR_RETURN(test->call, ParseArguments());
    } else if (starts_value && !token.IsName("else") && !token.IsName("or") &&
               !token.IsName("and")) {
      if (token.IsName("is")) return Fail("You cannot chain multiple tests with is");
      HEARTH_ASSIGN_OR_RETURN(ExprPtr argument, ParsePrimary());
      HEARTH_ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
      test->call.positional.push_back(std::move(argument));
    }
    test->items.push_back(std::move(input));
    HEARTH_ASSIGN_OR_RETURN(ExprPtr node, Seal(std::move(test)));
    return negated ? Single(Expr::Kind::kNot, std::move(node), line) : ExprResult(std::move(node));
  }

  std::vector<Token> tokens_;
  size_t position_ = 0;
  int max_depth_;
  int level_ = 0;
  int loop_level_ = 0;
};

}  // namespace

Result<Body> Parse(std::string_view source, int max_depth) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return Parser(std::move(tokens), max_depth).ParseTemplate();
}

}  // namespace hearth::jinja
