#pragma once
// JSON files and their fields, read with errors that name both. Threads: pure functions.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth {

// Not the ordered kind: that looks names up one by one, half a minute for a vocabulary of 200,000.
using Json = nlohmann::json;

// Errors: those of MappedFile::Open; kCorrupt for what is no JSON object; kResourceExhausted beyond
// 256 MiB.
Result<Json> ReadJsonObject(const std::string& path);
// An empty object where the file does not exist.
Result<Json> ReadOptionalJsonObject(const std::string& path);
// Also kCorrupt for values nested so deep that printing or copying them, which is recursive, might
// exhaust the stack.
Result<Json> ParseJsonObject(std::string_view text, const std::string& what);

// Fields of an object: absent or null is nothing, another type is kCorrupt naming the field.
Result<std::optional<std::string>> JsonString(const Json& object, const char* field);
Result<std::optional<int64_t>> JsonInt(const Json& object, const char* field);
Result<std::optional<double>> JsonNumber(const Json& object, const char* field);
Result<std::optional<bool>> JsonBool(const Json& object, const char* field);
// The object or array in that field, or null.
const Json* JsonChild(const Json& object, const char* field);

}  // namespace hearth
