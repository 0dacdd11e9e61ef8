#pragma once
// JSON as the evaluation reads and writes it: keys keep their order, for prompts show them to
// models and people read the results. Threads: pure functions.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth::eval {

using Json = nlohmann::ordered_json;

// Text that a model or a peer wrote. Errors: kCorrupt for what is no JSON or nests deeper than 64.
Result<Json> ParseJson(std::string_view text);

// One line; bytes that are not UTF-8 become U+FFFD.
std::string JsonText(const Json& json, int indent = -1);

// The objects of a JSONL file. Errors: those of MappedFile::Open; kCorrupt naming file and line.
Result<std::vector<Json>> ReadJsonLines(const std::string& path);

// The string in that field. Errors: kCorrupt naming the field and `what`.
Result<std::string> StringField(const Json& object, const char* field, const std::string& what);

}  // namespace hearth::eval
