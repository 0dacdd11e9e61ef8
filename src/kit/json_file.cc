#include "kit/json_file.h"

#include <filesystem>

#include "base/mapped_file.h"

namespace hearth {
namespace {

constexpr size_t kMaxJsonBytes = size_t{256} << 20;
constexpr int kMaxDepth = 256;

bool NestsTooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      if (++depth > kMaxDepth) return true;
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return false;
}

tl::unexpected<Error> WrongType(const char* field, const char* wanted, const Json& value) {
  return MakeError(ErrorCode::kCorrupt, std::string("field \"") + field + "\" is " +
                                            value.type_name() + ", expected " + wanted);
}

const Json* Present(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace

Result<Json> ParseJsonObject(std::string_view text, const std::string& what) {
  if (NestsTooDeep(text))
    return MakeError(ErrorCode::kCorrupt,
                     what + " nests more than " + std::to_string(kMaxDepth) + " values deep");
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object())
    return MakeError(ErrorCode::kCorrupt, what + " is not a JSON object");
  return json;
}

Result<Json> ReadJsonObject(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const auto bytes = file.bytes();
  if (bytes.size() > kMaxJsonBytes) {
    return MakeError(ErrorCode::kResourceExhausted,
                     path + " has " + std::to_string(bytes.size()) + " bytes, too many for JSON");
  }
  return ParseJsonObject({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

Result<Json> ReadOptionalJsonObject(const std::string& path) {
  if (!std::filesystem::exists(path)) return Json::object();
  return ReadJsonObject(path);
}

Result<std::optional<std::string>> JsonString(const Json& object, const char* field) {
  const Json* value = Present(object, field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return WrongType(field, "a string", *value);
  return value->get<std::string>();
}

Result<std::optional<int64_t>> JsonInt(const Json& object, const char* field) {
  const Json* value = Present(object, field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer()) return WrongType(field, "an integer", *value);
  return value->get<int64_t>();
}

Result<std::optional<double>> JsonNumber(const Json& object, const char* field) {
  const Json* value = Present(object, field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) return WrongType(field, "a number", *value);
  return value->get<double>();
}

Result<std::optional<bool>> JsonBool(const Json& object, const char* field) {
  const Json* value = Present(object, field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) return WrongType(field, "a boolean", *value);
  return value->get<bool>();
}

const Json* JsonChild(const Json& object, const char* field) {
  const Json* value = Present(object, field);
  return value != nullptr && value->is_structured() ? value : nullptr;
}

}  // namespace hearth
