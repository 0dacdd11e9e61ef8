#include "eval/scorers/function_check.h"

#include <algorithm>

#include "eval/scorers/text.h"

namespace hearth::eval {
namespace {

// The types that Python would have.
enum class Type { kString, kInt, kFloat, kBool, kList, kDict, kNone };

Type TypeOf(const Json& value) {
  if (value.is_string()) return Type::kString;
  if (value.is_boolean()) return Type::kBool;
  if (value.is_number_integer()) return Type::kInt;
  if (value.is_number()) return Type::kFloat;
  if (value.is_array()) return Type::kList;
  return value.is_object() ? Type::kDict : Type::kNone;
}

Type TypeNamed(const std::string& name) {
  if (name == "integer") return Type::kInt;
  if (name == "float" || name == "number") return Type::kFloat;
  if (name == "boolean") return Type::kBool;
  if (name == "array" || name == "tuple") return Type::kList;
  if (name == "dict" || name == "object") return Type::kDict;
  return Type::kString;  // "any" too
}

std::string TypeText(const Json& description) {
  const auto type = description.is_object() ? description.find("type") : description.end();
  return description.is_object() && type != description.end() && type->is_string()
             ? type->get<std::string>()
             : "string";
}

bool IsOmission(const Json& accepted) { return accepted.is_string() && accepted == ""; }

bool MayBeOmitted(const Json& accepted) { return std::ranges::any_of(accepted, IsOmission); }

std::string NameKey(std::string name) { return ReplaceAll(std::move(name), ".", "_"); }

std::string Standard(const std::string& text) {
  std::string out;
  for (const char c : ToLower(text)) {
    if (std::string_view(" ,./-_*^").find(c) != std::string_view::npos) continue;
    out += c == '\'' ? '"' : c;
  }
  return out;
}

// Text standardised, one level deep in lists, as the leaderboard does.
Json Standard(const Json& value) {
  if (value.is_string()) return Standard(value.get<std::string>());
  if (!value.is_array()) return value;
  Json list = Json::array();
  for (const Json& item : value)
    list.push_back(item.is_string() ? Json(Standard(item.get<std::string>())) : item);
  return list;
}

// As Python compares: 1 == 1.0, and the order of keys does not matter.
bool SameValue(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a.get<double>() == b.get<double>();
  if (a.is_array() && b.is_array()) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), SameValue);
  }
  if (a.is_object() && b.is_object()) {
    return a.size() == b.size() && std::ranges::all_of(a.items(), [&](const auto& item) {
             const auto other = b.find(item.key());
             return other != b.end() && SameValue(item.value(), *other);
           });
  }
  return a == b;
}

bool IsAmong(const Json& value, const Json& accepted, bool standardise) {
  const Json wanted = standardise ? Standard(value) : value;
  return std::ranges::any_of(accepted, [&](const Json& item) {
    return SameValue(wanted, standardise ? Standard(item) : item);
  });
}

bool DictMatches(const Json& value, const Json& accepted) {
  if (!value.is_object() || !accepted.is_object()) return false;
  for (const auto& [key, item] : value.items()) {
    const auto values = accepted.find(key);
    // Nested dictionaries stand as one value, not as a list of accepted ones.
    if (values == accepted.end() || !values->is_array() || !IsAmong(item, *values, true))
      return false;
  }
  return std::ranges::all_of(accepted.items(), [&](const auto& item) {
    return value.contains(item.key()) || MayBeOmitted(item.value());
  });
}

bool ListOfDictsMatches(const Json& value, const Json& accepted) {
  return accepted.is_array() && value.size() == accepted.size() &&
         std::equal(value.begin(), value.end(), accepted.begin(), DictMatches);
}

// The type of the first accepted value that is not an omission.
const Json* FirstValue(const Json& accepted) {
  const auto found =
      std::ranges::find_if(accepted, [](const Json& value) { return !IsOmission(value); });
  return found == accepted.end() ? nullptr : &*found;
}

struct TypeCheck {
  bool right = false;
  // The accepted values are of another type than described: a variable's name stands for it.
  bool is_variable = false;
};

TypeCheck CheckType(const Json& value, const Json& accepted, Type expected, const Type* nested) {
  const Json* first = FirstValue(accepted);
  const bool is_variable = first != nullptr && TypeOf(*first) != expected;
  if (TypeOf(value) == expected) {
    if (nested == nullptr) return {true, is_variable};
    const bool fits = std::ranges::any_of(accepted, [&](const Json& items) {
      return !items.is_array() || std::ranges::all_of(value, [&](const Json& item) {
        return CheckType(item, items, *nested, nullptr).right;
      });
    });
    return {fits, is_variable};
  }
  if (first != nullptr && TypeOf(value) == TypeOf(*first)) return {true, true};
  return {};
}

FunctionVerdict Wrong(const char* kind, std::string detail) {
  return {false, kind, Shorten(detail, 300)};
}

FunctionVerdict CheckValue(const std::string& name, Json value, const Json& description,
                           const Json& accepted) {
  const std::string type_text = TypeText(description);
  const Type expected = TypeNamed(type_text);
  if (expected == Type::kFloat && TypeOf(value) == Type::kInt) value = value.get<double>();
  Type nested = Type::kString;
  const bool is_list = expected == Type::kList;
  if (is_list && description.contains("items")) nested = TypeNamed(TypeText(description["items"]));
  const TypeCheck type = CheckType(value, accepted, expected, is_list ? &nested : nullptr);
  if (!type.right) {
    return Wrong("type", "parameter " + name + " should be of type " + type_text + ", got " +
                             JsonText(value));
  }
  bool right = false;
  if (type.is_variable) {
    right = IsAmong(value, accepted, /*standardise=*/false);
  } else if (expected == Type::kDict) {
    right = std::ranges::any_of(
        accepted, [&](const Json& item) { return !IsOmission(item) && DictMatches(value, item); });
  } else if (is_list && nested == Type::kDict) {
    right = std::ranges::any_of(accepted,
                                [&](const Json& item) { return ListOfDictsMatches(value, item); });
  } else {
    right = IsAmong(value, accepted, expected == Type::kString || is_list);
  }
  if (right) return {true, "right", ""};
  return Wrong("value", "parameter " + name + " is " + JsonText(value) +
                            ", accepted: " + JsonText(accepted));
}

const Json* FindFunction(const Json& functions, const std::string& name) {
  for (const Json& function : functions) {
    if (function.is_object() && function.contains("name") && function["name"] == name)
      return &function;
  }
  return nullptr;
}

}  // namespace

FunctionVerdict CheckCall(const std::vector<FunctionCall>& calls, const Json& functions,
                          const Json& accepted) {
  if (calls.size() != 1)
    return Wrong("count", std::to_string(calls.size()) + " calls instead of 1");
  const FunctionCall& call = calls[0];
  const std::string name = accepted.begin().key();
  const Json& values = accepted.begin().value();
  if (NameKey(call.name) != NameKey(name))
    return Wrong("name", "calls " + call.name + " instead of " + name);
  const Json* function = FindFunction(functions, name);
  if (function == nullptr) return Wrong("name", name + " is not among the functions");
  const Json parameters = function->value("parameters", Json::object());
  const Json described = parameters.value("properties", Json::object());
  for (const Json& required : parameters.value("required", Json::array())) {
    if (required.is_string() && !call.arguments.contains(required.get<std::string>()))
      return Wrong("missing", "parameter " + required.get<std::string>() + " is missing");
  }
  for (const auto& [parameter, value] : call.arguments.items()) {
    if (!described.contains(parameter) || !values.contains(parameter))
      return Wrong("unexpected", "parameter " + parameter + " is not expected");
    const FunctionVerdict verdict =
        CheckValue(parameter, value, described[parameter], values[parameter]);
    if (!verdict.right) return verdict;
  }
  for (const auto& [parameter, options] : values.items()) {
    if (!call.arguments.contains(parameter) && !MayBeOmitted(options))
      return Wrong("missing", "parameter " + parameter + " is missing");
  }
  return {true, "right", ""};
}

}  // namespace hearth::eval
