#pragma once
// YAML as a recipe may have it: one document of plain mappings, sequences and scalars, each with
// its line. What makes YAML dangerous or hard to read is refused, with the line: anchors and
// aliases (a few lines of which are gigabytes), tags, keys that are no scalars, keys given twice, a
// second document. Text is bounded in size, depth and number of nodes. Pure; safe from many
// threads. Scalars stay text; training/recipe/keys.h reads them as what their key wants.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth::forge {

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMapping };
  Kind kind = Kind::kNull;
  int line = 1;  // from 1
  // In a mapping: this node's name there.
  std::string key;
  int key_line = 1;
  std::string scalar;
  bool quoted = false;          // in quotes or a block of text: never a number or true
  std::vector<YamlNode> items;  // of a sequence or, each with its key, of a mapping; as written

  bool is_null() const { return kind == Kind::kNull; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_sequence() const { return kind == Kind::kSequence; }
  bool is_mapping() const { return kind == Kind::kMapping; }
  // The item of that name of a mapping, or null.
  const YamlNode* Find(std::string_view name) const;
};

// "text", "a number", "a list": what stands there, for error messages.
std::string DescribeNode(const YamlNode& node);

struct YamlLimits {
  size_t max_bytes = size_t{256} << 10;
  int max_depth = 12;
  int max_nodes = 5000;
};

// Errors: kCorrupt (not UTF-8, not YAML, a key twice), kUnsupported (anchors, tags, ...),
// kResourceExhausted (a limit); messages begin "line N: " where there is one.
Result<YamlNode> ReadYaml(std::string_view text, const YamlLimits& limits = {});

}  // namespace hearth::forge
