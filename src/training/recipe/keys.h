#pragma once
// What keys a stage of a recipe understands, and their values. A key is declared once, in a
// KeySpec; parsing, error texts, `--explain` and docs/recipes.md come from there.
//
//   KeySpec::Int("lora_r", "Rank of the adapter").Default(16).Range(1, 1024)
//
// KeySpecs are built by our own code: contradictions in them are bugs, not errors.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "training/recipe/yaml_reader.h"

namespace hearth::forge {

enum class KeyType {
  kBool,
  kInt,
  kFloat,
  kString,
  kChoice,    // one of a few words
  kStrings,   // a list of words, or one word
  kInput,     // another stage's output, a file of the recipe, or a path
  kInputs,    // a list of those, or one
  kDatasets,  // a list of {path, type}, Axolotl's; path is an input
};

// An entry of `datasets`.
struct DatasetEntry {
  std::string path;
  std::string type;  // one of kDatasetTypes
  bool operator==(const DatasetEntry&) const = default;
};
// "auto" takes each row for what its fields tell.
inline constexpr std::string_view kDatasetTypes[] = {"auto",   "chat_template",     "sharegpt",
                                                     "alpaca", "prompt_completion", "completion"};

// Inputs are kept as written; training/recipe/recipe.h finds out what they name.
using KeyValue = std::variant<bool, int64_t, double, std::string, std::vector<std::string>,
                              std::vector<DatasetEntry>>;

struct KeySpec {
  std::string name;
  KeyType type = KeyType::kString;
  std::string help;                    // one sentence without its full stop
  std::optional<KeyValue> by_default;  // nothing: the key may be left out, or is required
  bool required = false;
  std::optional<double> low, high;  // of numbers, both included
  std::vector<std::string> choices;
  // What an input may be: contents of outputs, e.g. "rows"; empty: any.
  std::vector<std::string> contents;
  // Whether another value makes another artifact: not so for a number of threads.
  bool affects_result = true;

  static KeySpec Bool(std::string name, std::string help);
  static KeySpec Int(std::string name, std::string help);
  static KeySpec Float(std::string name, std::string help);
  static KeySpec String(std::string name, std::string help);
  static KeySpec Choice(std::string name, std::vector<std::string> choices, std::string help);
  static KeySpec Strings(std::string name, std::string help);
  static KeySpec Input(std::string name, std::vector<std::string> contents, std::string help);
  static KeySpec Inputs(std::string name, std::vector<std::string> contents, std::string help);
  static KeySpec Datasets(std::string name, std::vector<std::string> contents, std::string help);

  KeySpec Default(bool value) const;
  KeySpec Default(int value) const;
  KeySpec Default(int64_t value) const;
  KeySpec Default(double value) const;
  KeySpec Default(const char* value) const;
  KeySpec Default(std::vector<std::string> value) const;
  KeySpec Required() const;
  KeySpec Range(double low_value, double high_value) const;
  // The artifact is the same whatever the value.
  KeySpec WithoutEffect() const;

  bool is_input() const {
    return type == KeyType::kInput || type == KeyType::kInputs || type == KeyType::kDatasets;
  }
};

// "a whole number, 1 to 1024"; "one of cosine, linear".
std::string DescribeType(const KeySpec& key);
// "16", "cosine", "[q_proj, v_proj]"; a number without needless digits.
std::string ValueText(const KeyValue& value);

// The values of one stage's keys, defaults filled in. Asking for a key that the stage's kind does
// not declare, for another type, or for the value of a key that is not there is a bug.
class Parameters {
 public:
  bool Has(std::string_view key) const;
  bool Bool(std::string_view key) const;
  int64_t Int(std::string_view key) const;
  // Requires: the key's range lies within int.
  int SmallInt(std::string_view key) const;
  double Float(std::string_view key) const;
  const std::string& String(std::string_view key) const;
  const std::vector<std::string>& Strings(std::string_view key) const;
  const std::vector<DatasetEntry>& Datasets(std::string_view key) const;

  void Set(std::string key, KeyValue value) { values_[std::move(key)] = std::move(value); }
  // By key, in the order of the alphabet.
  const std::map<std::string, KeyValue, std::less<>>& values() const { return values_; }
  // Where a key stands in the recipe; the stage's line for a default.
  int LineOf(std::string_view key) const;
  void SetLine(std::string key, int line) { lines_[std::move(key)] = line; }
  void SetStageLine(int line) { stage_line_ = line; }

 private:
  template <typename T>
  const T& Get(std::string_view key) const;

  std::map<std::string, KeyValue, std::less<>> values_;
  std::map<std::string, int, std::less<>> lines_;
  int stage_line_ = 1;
};

// Reads the keys of a mapping; those named in `others` are the caller's. `who` is what an unknown
// key is unknown to, e.g. "an sft stage". Errors begin "line N: " and name the key and the value:
// kInvalidArgument for unknown and missing keys, wrong types and values out of range.
Result<Parameters> ReadParameters(const YamlNode& mapping, const std::vector<KeySpec>& keys,
                                  const std::vector<std::string>& others, std::string_view who);

// One value. For keys that are no stage's: the recipe's own.
Result<KeyValue> ReadValue(const YamlNode& node, const KeySpec& key);

// {"epochs":2,...}: everything that affects the result except inputs, in a fixed order and form:
// equal texts are equal parameters.
std::string CanonicalParameters(const Parameters& parameters, const std::vector<KeySpec>& keys);

}  // namespace hearth::forge
