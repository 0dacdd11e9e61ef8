#include "eval/scorers/function_calls.h"

#include "eval/scorers/code_block.h"
#include "eval/scorers/text.h"

namespace hearth::eval {
namespace {

// Reads one call from an object of any of the usual shapes.
std::optional<FunctionCall> CallFromObject(const Json& object) {
  if (!object.is_object()) return std::nullopt;
  if (const auto inner = object.find("function"); inner != object.end() && inner->is_object())
    return CallFromObject(*inner);
  FunctionCall call;
  for (const char* key : {"name", "function", "function_name", "tool"}) {
    if (const auto name = object.find(key); name != object.end() && name->is_string()) {
      call.name = name->get<std::string>();
      break;
    }
  }
  if (call.name.empty()) return std::nullopt;
  for (const char* key : {"arguments", "parameters", "args", "params"}) {
    const auto arguments = object.find(key);
    if (arguments == object.end()) continue;
    if (arguments->is_object()) {
      call.arguments = *arguments;
      return call;
    }
    if (arguments->is_string()) {
      const Result<Json> parsed = ParseJson(arguments->get_ref<const std::string&>());
      if (!parsed || !parsed->is_object()) return std::nullopt;
      call.arguments = *parsed;
      return call;
    }
    return std::nullopt;
  }
  // A name alone is some object, not a call.
  return std::nullopt;
}

std::vector<FunctionCall> CallsFromJson(const Json& json) {
  std::vector<FunctionCall> calls;
  if (json.is_array()) {
    for (const Json& item : json) {
      std::optional<FunctionCall> call = CallFromObject(item);
      if (!call) return {};
      calls.push_back(std::move(*call));
    }
  } else if (std::optional<FunctionCall> call = CallFromObject(json)) {
    calls.push_back(std::move(*call));
  }
  return calls;
}

// The JSON value that begins at `begin`, brackets balanced; empty when it never ends.
std::string_view BalancedAt(std::string_view text, size_t begin) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = begin; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '{' || c == '[')) {
      ++depth;
    } else if (!in_string && (c == '}' || c == ']') && --depth == 0) {
      return text.substr(begin, i + 1 - begin);
    }
  }
  return {};
}

// Every call among the JSON values of a text, whatever stands between them.
std::vector<FunctionCall> CallsWithin(std::string_view text) {
  std::vector<FunctionCall> calls;
  for (size_t at = text.find_first_of("{["); at != std::string_view::npos;
       at = text.find_first_of("{[", at)) {
    const std::string_view value = BalancedAt(text, at);
    std::vector<FunctionCall> found;
    if (!value.empty())
      if (const Result<Json> json = ParseJson(value)) found = CallsFromJson(*json);
    at += found.empty() ? 1 : value.size();
    for (FunctionCall& call : found) calls.push_back(std::move(call));
    if (value.empty()) break;
  }
  return calls;
}

constexpr int kMaxDepth = 32;

class PythonReader {
 public:
  explicit PythonReader(std::string_view text) : text_(text) {}

  std::optional<std::vector<FunctionCall>> Calls() {
    std::vector<FunctionCall> calls;
    const bool list = Take('[');
    if (list && Take(']')) return AtEnd() ? std::optional(calls) : std::nullopt;
    do {
      std::optional<FunctionCall> call = Call();
      if (!call) return std::nullopt;
      calls.push_back(std::move(*call));
    } while (Take(',') && Peek() != ']');
    if (list && !Take(']')) return std::nullopt;
    if (!AtEnd()) return std::nullopt;
    return calls;
  }

 private:
  void SkipSpace() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }
  char Peek() {
    SkipSpace();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Take(char c) {
    if (Peek() != c || c == '\0') return false;
    ++at_;
    return true;
  }
  bool AtEnd() {
    SkipSpace();
    return at_ == text_.size();
  }

  std::string Name() {
    SkipSpace();
    const size_t begin = at_;
    if (at_ < text_.size() && IsDigit(text_[at_])) return "";
    while (at_ < text_.size() && (IsWordChar(text_[at_]) || text_[at_] == '.')) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::optional<FunctionCall> Call() {
    FunctionCall call;
    call.name = Name();
    if (call.name.empty() || !Take('(')) return std::nullopt;
    while (!Take(')')) {
      const size_t begin = at_;
      const std::string key = Name();
      if (!key.empty() && Take('=')) {
        std::optional<Json> value = Value(0);
        if (!value) return std::nullopt;
        call.arguments[key] = std::move(*value);
      } else {
        at_ = begin;
        if (!Value(0)) return std::nullopt;
      }
      if (!Take(',') && Peek() != ')') return std::nullopt;
    }
    return call;
  }

  std::optional<Json> Value(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    const char c = Peek();
    if (c == '"' || c == '\'') return String();
    if (c == '[') return Sequence(']', depth);
    if (c == '(') return Sequence(')', depth);
    if (c == '{') return Dictionary(depth);
    if (IsDigit(c) || c == '-' || c == '+' || c == '.') return Number();
    const std::string name = Name();
    if (name.empty()) return std::nullopt;
    if (name == "True" || name == "true") return Json(true);
    if (name == "False" || name == "false") return Json(false);
    if (name == "None" || name == "null") return Json(nullptr);
    return Json(name);
  }

  std::optional<Json> Sequence(char close, int depth) {
    ++at_;
    Json array = Json::array();
    bool comma = false;
    while (!Take(close)) {
      std::optional<Json> value = Value(depth + 1);
      if (!value) return std::nullopt;
      array.push_back(std::move(*value));
      const bool more = Take(',');
      comma = comma || more;
      if (!more && Peek() != close) return std::nullopt;
    }
    // Parentheses without a comma only group.
    if (close == ')' && !comma && array.size() == 1) return Json(array[0]);
    return array;
  }

  std::optional<Json> Dictionary(int depth) {
    ++at_;
    Json object = Json::object();
    while (!Take('}')) {
      std::optional<Json> key = Value(depth + 1);
      if (!key || !Take(':')) return std::nullopt;
      std::optional<Json> value = Value(depth + 1);
      if (!value) return std::nullopt;
      object[key->is_string() ? key->get<std::string>() : JsonText(*key)] = std::move(*value);
      if (!Take(',') && Peek() != '}') return std::nullopt;
    }
    return object;
  }

  // Adjacent literals join, as in Python.
  std::optional<Json> String() {
    std::string value;
    while (Peek() == '"' || Peek() == '\'') {
      const char quote = text_[at_++];
      while (at_ < text_.size() && text_[at_] != quote) {
        char c = text_[at_++];
        if (c == '\\' && at_ < text_.size()) {
          c = text_[at_++];
          if (c == 'n') c = '\n';
          if (c == 't') c = '\t';
        }
        value += c;
      }
      if (at_ == text_.size()) return std::nullopt;
      ++at_;
    }
    return Json(value);
  }

  std::optional<Json> Number() {
    const size_t begin = at_;
    while (at_ < text_.size() && (IsWordChar(text_[at_]) || text_[at_] == '.' ||
                                  text_[at_] == '+' || text_[at_] == '-')) {
      ++at_;
    }
    std::string number = ReplaceAll(std::string(text_.substr(begin, at_ - begin)), "_", "");
    if (number.starts_with('+')) number.erase(0, 1);
    if (number.starts_with('.')) number.insert(0, "0");
    if (number.starts_with("-.")) number.insert(1, "0");
    if (number.ends_with('.')) number += "0";
    const Result<Json> parsed = ParseJson(number);
    if (!parsed || !parsed->is_number()) return std::nullopt;
    return *parsed;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::optional<std::vector<FunctionCall>> ParsePythonCalls(std::string_view text) {
  return PythonReader(Trim(text)).Calls();
}

std::vector<FunctionCall> ParseFunctionCalls(std::string_view answer) {
  constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>";
  std::vector<FunctionCall> calls;
  if (answer.find(kOpen) != std::string_view::npos) {
    for (size_t at = answer.find(kOpen); at != std::string_view::npos;
         at = answer.find(kOpen, at + 1)) {
      const size_t begin = at + kOpen.size();
      const size_t end = std::min(answer.find(kClose, begin), answer.find(kOpen, begin));
      for (FunctionCall& call : CallsWithin(answer.substr(begin, end - begin)))
        calls.push_back(std::move(call));
    }
    return calls;
  }
  if (auto python = ParsePythonCalls(answer)) return *python;
  for (const CodeBlock& block : FindCodeBlocks(answer)) {
    if (auto python = ParsePythonCalls(block.code)) {
      calls.insert(calls.end(), python->begin(), python->end());
    }
  }
  return calls.empty() ? CallsWithin(answer) : calls;
}

}  // namespace hearth::eval
