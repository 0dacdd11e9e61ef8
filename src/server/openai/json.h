#pragma once
// JSON of requests and responses: bounded parsing, and a reader of fields that says which one is
// wrong.

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "server/openai/api_error.h"

namespace hearth::openai {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // keeps the order of insertion: for what people read

struct JsonLimits {
  int max_depth = 64;
  size_t max_values = 1'000'000;  // a body of "[[],[],..." would take 30 times its size
};

// The body of a request: one JSON object. Errors: 400, with the place of a syntax error.
ApiResult<Json> ParseBody(std::string_view body, const JsonLimits& limits = {});

// Bytes that are not UTF-8 become U+FFFD.
std::string Dump(const OrderedJson& value);

// The largest whole number that a field may hold.
inline constexpr int64_t kMaxInt = std::numeric_limits<int>::max();

// Reads typed fields of an object. Absent and null fields give the fallback. The first wrong field
// is kept as error(); what is read after it has no meaning, so callers read everything and look at
// failed() once.
class FieldReader {
 public:
  // `path` names the object in `param`: "messages[2]"; empty for the body. Requires: `object`
  // outlives the reader.
  explicit FieldReader(const Json& object, std::string path = "");

  const Json* Find(std::string_view name) const;  // null: absent or null
  double Number(std::string_view name, double fallback, double min, double max);
  int64_t Integer(std::string_view name, int64_t fallback, int64_t min, int64_t max);
  bool Bool(std::string_view name, bool fallback);
  std::string String(std::string_view name, std::string fallback = "");
  // Absent, null, or an array / an object; null when it is something else, which is then the error.
  const Json* Array(std::string_view name);
  const Json* Object(std::string_view name);

  void Fail(ApiError error);
  void Fail(std::string_view name, std::string message, std::string code = "invalid_value");
  void FailMissing(std::string_view name);

  bool failed() const { return failed_; }
  const ApiError& error() const { return error_; }
  std::string Path(std::string_view name) const;

 private:
  void FailType(std::string_view name, std::string_view wanted, const Json& value);

  const Json& object_;
  std::string path_;
  ApiError error_;
  bool failed_ = false;
};

// "a string", "an integer", ... for messages.
std::string_view DescribeType(const Json& value);

}  // namespace hearth::openai
