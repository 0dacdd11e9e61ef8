#pragma once
// Source of a template -> tokens, with whitespace already dealt with: trim_blocks, lstrip_blocks,
// and the signs - and +.
// Source: https://jinja.palletsprojects.com/en/stable/templates/#whitespace-control

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth::jinja {

struct Token {
  enum class Kind {
    kData,
    kVariableBegin,
    kVariableEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Kind kind;
  std::string text;  // of a string literal: its value
  int line = 1;

  bool IsName(std::string_view name) const { return kind == Kind::kName && text == name; }
  bool IsOperator(std::string_view op) const { return kind == Kind::kOperator && text == op; }
};

// The last token is kEnd. Errors: kCorrupt with the line.
Result<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace hearth::jinja
