#include "training/recipe/keys.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "training/recipe/nearest_name.h"

namespace hearth::forge {
namespace {

KeySpec Make(std::string name, KeyType type, std::string help) {
  KeySpec key;
  key.name = std::move(name);
  key.type = type;
  key.help = std::move(help);
  return key;
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string NumberText(double value) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return std::string(buffer, end);
}

tl::unexpected<Error> ErrorAt(int line, const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, "line " + std::to_string(line) + ": " + what);
}

tl::unexpected<Error> WrongValue(const YamlNode& node, const KeySpec& key) {
  return ErrorAt(node.line,
                 key.name + " must be " + DescribeType(key) + ", is " + DescribeNode(node));
}

template <typename T>
std::optional<T> NumberIn(const YamlNode& node) {
  if (!node.is_scalar() || node.quoted) return std::nullopt;
  T value{};
  const char* begin = node.scalar.data();
  const char* end = begin + node.scalar.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

bool InRange(const KeySpec& key, double value) {
  return std::isfinite(value) && (!key.low || value >= *key.low) &&
         (!key.high || value <= *key.high);
}

Result<std::vector<std::string>> ReadWords(const YamlNode& node, const KeySpec& key) {
  std::vector<std::string> words;
  if (node.is_scalar()) {
    words.push_back(node.scalar);
  } else if (node.is_sequence()) {
    for (const YamlNode& item : node.items) {
      if (!item.is_scalar()) return WrongValue(item, key);
      words.push_back(item.scalar);
    }
  } else {
    return WrongValue(node, key);
  }
  for (const std::string& word : words)
    if (word.empty()) return WrongValue(node, key);
  return words;
}

const std::vector<KeySpec>& DatasetKeys() {
  static const std::vector<KeySpec> keys = {
      KeySpec::Input("path", {}, "The rows").Required(),
      KeySpec::Choice("type", {std::begin(kDatasetTypes), std::end(kDatasetTypes)},
                      "What its rows are")
          .Default("auto")};
  return keys;
}

Result<KeyValue> ReadDatasets(const YamlNode& node, const KeySpec& key) {
  std::vector<DatasetEntry> entries;
  if (node.is_scalar() && !node.scalar.empty()) {
    entries.push_back({node.scalar, "auto"});
    return entries;
  }
  if (!node.is_sequence() || node.items.empty()) return WrongValue(node, key);
  for (const YamlNode& item : node.items) {
    if (item.is_scalar() && !item.scalar.empty()) {
      entries.push_back({item.scalar, "auto"});
      continue;
    }
    if (!item.is_mapping()) return WrongValue(item, key);
    HEARTH_ASSIGN_OR_RETURN(const Parameters entry,
                            ReadParameters(item, DatasetKeys(), {}, "an entry of " + key.name));
    entries.push_back({entry.String("path"), entry.String("type")});
  }
  return entries;
}

nlohmann::ordered_json JsonOf(const KeyValue& value) {
  return std::visit(
      [](const auto& held) -> nlohmann::ordered_json {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, std::vector<DatasetEntry>>) {
          nlohmann::ordered_json types = nlohmann::ordered_json::array();
          for (const DatasetEntry& entry : held) types.push_back(entry.type);
          return types;
        } else if constexpr (std::is_same_v<T, double>) {
          return NumberText(held);  // 1 and 1.0 are one value, with the shortest digits
        } else {
          return held;
        }
      },
      value);
}

}  // namespace

KeySpec KeySpec::Bool(std::string name, std::string help) {
  return Make(std::move(name), KeyType::kBool, std::move(help));
}
KeySpec KeySpec::Int(std::string name, std::string help) {
  return Make(std::move(name), KeyType::kInt, std::move(help));
}
KeySpec KeySpec::Float(std::string name, std::string help) {
  return Make(std::move(name), KeyType::kFloat, std::move(help));
}
KeySpec KeySpec::String(std::string name, std::string help) {
  return Make(std::move(name), KeyType::kString, std::move(help));
}
KeySpec KeySpec::Choice(std::string name, std::vector<std::string> choices, std::string help) {
  KeySpec key = Make(std::move(name), KeyType::kChoice, std::move(help));
  key.choices = std::move(choices);
  return key;
}
KeySpec KeySpec::Strings(std::string name, std::string help) {
  return Make(std::move(name), KeyType::kStrings, std::move(help));
}
KeySpec KeySpec::Input(std::string name, std::vector<std::string> contents, std::string help) {
  KeySpec key = Make(std::move(name), KeyType::kInput, std::move(help));
  key.contents = std::move(contents);
  return key;
}
KeySpec KeySpec::Inputs(std::string name, std::vector<std::string> contents, std::string help) {
  KeySpec key = Input(std::move(name), std::move(contents), std::move(help));
  key.type = KeyType::kInputs;
  return key;
}
KeySpec KeySpec::Datasets(std::string name, std::vector<std::string> contents, std::string help) {
  KeySpec key = Input(std::move(name), std::move(contents), std::move(help));
  key.type = KeyType::kDatasets;
  return key;
}

KeySpec KeySpec::Default(bool value) const {
  HEARTH_CHECK(type == KeyType::kBool);
  KeySpec key = *this;
  key.by_default = value;
  return key;
}
KeySpec KeySpec::Default(int value) const { return Default(int64_t{value}); }
KeySpec KeySpec::Default(int64_t value) const {
  HEARTH_CHECK(type == KeyType::kInt || type == KeyType::kFloat);
  KeySpec key = *this;
  if (type == KeyType::kInt) {
    key.by_default = value;
  } else {
    key.by_default = static_cast<double>(value);
  }
  return key;
}
KeySpec KeySpec::Default(double value) const {
  HEARTH_CHECK(type == KeyType::kFloat);
  KeySpec key = *this;
  key.by_default = value;
  return key;
}
KeySpec KeySpec::Default(const char* value) const {
  HEARTH_CHECK(type == KeyType::kString || type == KeyType::kChoice);
  HEARTH_CHECK(type == KeyType::kString || std::ranges::find(choices, value) != choices.end());
  KeySpec key = *this;
  key.by_default = std::string(value);
  return key;
}
KeySpec KeySpec::Default(std::vector<std::string> value) const {
  HEARTH_CHECK(type == KeyType::kStrings);
  KeySpec key = *this;
  key.by_default = std::move(value);
  return key;
}
KeySpec KeySpec::Required() const {
  KeySpec key = *this;
  key.required = true;
  return key;
}
KeySpec KeySpec::Range(double low_value, double high_value) const {
  HEARTH_CHECK(type == KeyType::kInt || type == KeyType::kFloat);
  KeySpec key = *this;
  key.low = low_value;
  key.high = high_value;
  return key;
}
KeySpec KeySpec::WithoutEffect() const {
  KeySpec key = *this;
  key.affects_result = false;
  return key;
}

std::string DescribeType(const KeySpec& key) {
  switch (key.type) {
    case KeyType::kBool:
      return "true or false";
    case KeyType::kInt:
    case KeyType::kFloat: {
      std::string text = key.type == KeyType::kInt ? "a whole number" : "a number";
      if (key.low && key.high) {
        text += ", " + NumberText(*key.low) + " to " + NumberText(*key.high);
      } else if (key.low) {
        text += ", at least " + NumberText(*key.low);
      }
      return text;
    }
    case KeyType::kString:
      return "text";
    case KeyType::kChoice:
      return "one of " + Joined(key.choices);
    case KeyType::kStrings:
      return "a word or a list of words";
    case KeyType::kInput:
      return key.contents.empty() ? "an input" : "an input (" + Joined(key.contents) + ")";
    case KeyType::kInputs:
      return key.contents.empty() ? "a list of inputs"
                                  : "a list of inputs (" + Joined(key.contents) + ")";
    case KeyType::kDatasets:
      return "a list of {path: INPUT, type: TYPE}";
  }
  HEARTH_CHECK(false);
}

std::string ValueText(const KeyValue& value) {
  return std::visit(
      [](const auto& held) -> std::string {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, bool>) {
          return held ? "true" : "false";
        } else if constexpr (std::is_same_v<T, int64_t>) {
          return std::to_string(held);
        } else if constexpr (std::is_same_v<T, double>) {
          return NumberText(held);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return held;
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return "[" + Joined(held) + "]";
        } else {
          std::vector<std::string> paths;
          for (const DatasetEntry& entry : held)
            paths.push_back(entry.type == "auto" ? entry.path : entry.path + " as " + entry.type);
          return "[" + Joined(paths) + "]";
        }
      },
      value);
}

template <typename T>
const T& Parameters::Get(std::string_view key) const {
  const auto found = values_.find(key);
  HEARTH_CHECK(found != values_.end());
  const T* value = std::get_if<T>(&found->second);
  HEARTH_CHECK(value != nullptr);
  return *value;
}

bool Parameters::Has(std::string_view key) const { return values_.contains(key); }
bool Parameters::Bool(std::string_view key) const { return Get<bool>(key); }
int64_t Parameters::Int(std::string_view key) const { return Get<int64_t>(key); }
int Parameters::SmallInt(std::string_view key) const {
  const int64_t value = Int(key);
  HEARTH_CHECK(std::in_range<int>(value));
  return static_cast<int>(value);
}
double Parameters::Float(std::string_view key) const { return Get<double>(key); }
const std::string& Parameters::String(std::string_view key) const { return Get<std::string>(key); }
const std::vector<std::string>& Parameters::Strings(std::string_view key) const {
  return Get<std::vector<std::string>>(key);
}
const std::vector<DatasetEntry>& Parameters::Datasets(std::string_view key) const {
  return Get<std::vector<DatasetEntry>>(key);
}

int Parameters::LineOf(std::string_view key) const {
  const auto found = lines_.find(key);
  return found == lines_.end() ? stage_line_ : found->second;
}

Result<KeyValue> ReadValue(const YamlNode& node, const KeySpec& key) {
  switch (key.type) {
    case KeyType::kBool:
      if (!node.is_scalar() || node.quoted) return WrongValue(node, key);
      if (node.scalar == "true" || node.scalar == "True") return true;
      if (node.scalar == "false" || node.scalar == "False") return false;
      return WrongValue(node, key);
    case KeyType::kInt: {
      const auto value = NumberIn<int64_t>(node);
      if (!value || !InRange(key, static_cast<double>(*value))) return WrongValue(node, key);
      return *value;
    }
    case KeyType::kFloat: {
      const auto value = NumberIn<double>(node);
      if (!value || !InRange(key, *value)) return WrongValue(node, key);
      return *value == 0 ? 0.0 : *value;  // -0 is no other value
    }
    case KeyType::kString:
      if (!node.is_scalar()) return WrongValue(node, key);
      return node.scalar;
    case KeyType::kChoice:
      if (!node.is_scalar()) return WrongValue(node, key);
      if (std::ranges::find(key.choices, node.scalar) == key.choices.end()) {
        return ErrorAt(node.line, key.name + " must be " + DescribeType(key) + ", is " +
                                      DescribeNode(node) + NearestHint(node.scalar, key.choices));
      }
      return node.scalar;
    case KeyType::kInput:
      if (!node.is_scalar() || node.scalar.empty()) return WrongValue(node, key);
      return node.scalar;
    case KeyType::kStrings: {
      HEARTH_ASSIGN_OR_RETURN(KeyValue words, ReadWords(node, key));
      return words;
    }
    case KeyType::kInputs: {
      HEARTH_ASSIGN_OR_RETURN(std::vector<std::string> words, ReadWords(node, key));
      if (words.empty()) return WrongValue(node, key);
      return words;
    }
    case KeyType::kDatasets:
      return ReadDatasets(node, key);
  }
  HEARTH_CHECK(false);
}

Result<Parameters> ReadParameters(const YamlNode& mapping, const std::vector<KeySpec>& keys,
                                  const std::vector<std::string>& others, std::string_view who) {
  HEARTH_CHECK(mapping.is_mapping());
  Parameters parameters;
  parameters.SetStageLine(mapping.line);
  for (const YamlNode& item : mapping.items) {
    if (std::ranges::find(others, item.key) != others.end()) continue;
    const auto key = std::ranges::find(keys, item.key, &KeySpec::name);
    if (key == keys.end()) {
      std::vector<std::string> names = others;
      for (const KeySpec& known : keys) names.push_back(known.name);
      return ErrorAt(item.key_line, "unknown key " + item.key + " of " + std::string(who) +
                                        NearestHint(item.key, names));
    }
    // As in Axolotl, a key without a value is one left out.
    if (item.is_null()) continue;
    HEARTH_ASSIGN_OR_RETURN(KeyValue value, ReadValue(item, *key));
    parameters.Set(item.key, std::move(value));
    parameters.SetLine(item.key, item.line);
  }
  for (const KeySpec& key : keys) {
    if (parameters.Has(key.name)) continue;
    if (key.required) {
      return ErrorAt(mapping.line,
                     std::string(who) + " needs the key " + key.name + ": " + DescribeType(key));
    }
    if (key.by_default) parameters.Set(key.name, *key.by_default);
  }
  return parameters;
}

std::string CanonicalParameters(const Parameters& parameters, const std::vector<KeySpec>& keys) {
  std::map<std::string, nlohmann::ordered_json> sorted;
  for (const KeySpec& key : keys) {
    if (!key.affects_result || !parameters.Has(key.name)) continue;
    // Which inputs is told by their contents, not by their names.
    if (key.type == KeyType::kInput || key.type == KeyType::kInputs) continue;
    sorted[key.name] = JsonOf(parameters.values().find(key.name)->second);
  }
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (auto& [name, value] : sorted) json[name] = std::move(value);
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace hearth::forge
