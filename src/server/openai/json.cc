#include "server/openai/json.h"

#include <cmath>
#include <cstdio>
#include <utility>

namespace hearth::openai {
namespace {

// Counts without parsing, so that nothing is allocated for a body that is refused.
ApiResult<void> CheckSize(std::string_view body, const JsonLimits& limits) {
  int depth = 0;
  size_t values = 1;
  bool in_string = false;
  for (size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
      continue;
    }
    switch (c) {
      case '"':
        in_string = true;
        break;
      case '[':
      case '{':
        ++values;
        if (++depth > limits.max_depth) {
          return tl::unexpected(InvalidField(
              "",
              "the JSON body is nested deeper than " + std::to_string(limits.max_depth) + " levels",
              "invalid_json"));
        }
        break;
      case ']':
      case '}':
        --depth;
        break;
      case ',':
        ++values;
        break;
      default:
        break;
    }
  }
  if (values > limits.max_values) {
    return tl::unexpected(InvalidField(
        "", "the JSON body has more than " + std::to_string(limits.max_values) + " values",
        "invalid_json"));
  }
  return {};
}

std::string FormatNumber(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

}  // namespace

ApiResult<Json> ParseBody(std::string_view body, const JsonLimits& limits) {
  if (const auto size = CheckSize(body, limits); !size) return tl::unexpected(size.error());
  Json value;
  // The boundary for nlohmann's exceptions on input.
  try {
    value = Json::parse(body.begin(), body.end());
  } catch (const Json::parse_error& error) {
    return tl::unexpected(
        InvalidField("", "the body is not valid JSON (byte " + std::to_string(error.byte) + ")",
                     "invalid_json"));
  } catch (const Json::exception&) {
    return tl::unexpected(
        InvalidField("", "the body is not valid JSON: a number is out of range", "invalid_json"));
  }
  if (!value.is_object()) {
    return tl::unexpected(
        InvalidField("", "the body must be a JSON object, not " + std::string(DescribeType(value)),
                     "invalid_json"));
  }
  return value;
}

std::string Dump(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string_view DescribeType(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "an integer";
    case Json::value_t::number_float:
      return "a number with a fraction";
    default:
      return "something else";
  }
}

FieldReader::FieldReader(const Json& object, std::string path)
    : object_(object), path_(std::move(path)) {}

std::string FieldReader::Path(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

const Json* FieldReader::Find(std::string_view name) const {
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(std::string(name));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

double FieldReader::Number(std::string_view name, double fallback, double min, double max) {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_number()) {
    FailType(name, "a number", *value);
    return fallback;
  }
  const double number = value->get<double>();
  if (!std::isfinite(number) || number < min || number > max) {
    Fail(name, "'" + Path(name) + "' must be between " + FormatNumber(min) + " and " +
                   FormatNumber(max) + ", not " + FormatNumber(number));
    return fallback;
  }
  return number;
}

int64_t FieldReader::Integer(std::string_view name, int64_t fallback, int64_t min, int64_t max) {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_number_integer()) {
    FailType(name, "an integer", *value);
    return fallback;
  }
  // Unsigned values beyond int64 would wrap.
  const bool huge = value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX};
  const int64_t number = huge ? INT64_MAX : value->get<int64_t>();
  if (huge || number < min || number > max) {
    Fail(name, "'" + Path(name) + "' must be between " + std::to_string(min) + " and " +
                   std::to_string(max) + ", not " + value->dump());
    return fallback;
  }
  return number;
}

bool FieldReader::Bool(std::string_view name, bool fallback) {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    FailType(name, "a boolean", *value);
    return fallback;
  }
  return value->get<bool>();
}

std::string FieldReader::String(std::string_view name, std::string fallback) {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_string()) {
    FailType(name, "a string", *value);
    return fallback;
  }
  return value->get<std::string>();
}

const Json* FieldReader::Array(std::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr || value->is_array()) return value;
  FailType(name, "an array", *value);
  return nullptr;
}

const Json* FieldReader::Object(std::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr || value->is_object()) return value;
  FailType(name, "an object", *value);
  return nullptr;
}

void FieldReader::Fail(ApiError error) {
  if (failed_) return;
  failed_ = true;
  error_ = std::move(error);
}

void FieldReader::Fail(std::string_view name, std::string message, std::string code) {
  Fail(InvalidField(Path(name), std::move(message), std::move(code)));
}

void FieldReader::FailMissing(std::string_view name) {
  Fail(name, "'" + Path(name) + "' is missing", "missing_required_parameter");
}

void FieldReader::FailType(std::string_view name, std::string_view wanted, const Json& value) {
  Fail(name,
       "'" + Path(name) + "' must be " + std::string(wanted) + ", not " +
           std::string(DescribeType(value)),
       "invalid_type");
}

}  // namespace hearth::openai
