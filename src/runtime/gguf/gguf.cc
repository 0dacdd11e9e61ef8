#include "runtime/gguf/gguf.h"

#include <utility>

#include "runtime/gguf/gguf_parser.h"

namespace hearth {

std::string_view GgufValueTypeName(GgufValueType type) {
  static constexpr std::string_view kNames[] = {"UINT8",  "INT8",    "UINT16", "INT16",  "UINT32",
                                                "INT32",  "FLOAT32", "BOOL",   "STRING", "ARRAY",
                                                "UINT64", "INT64",   "FLOAT64"};
  const auto index = static_cast<size_t>(type);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

size_t GgufArray::size() const {
  return std::visit([](const auto& elements) { return elements.size(); }, values);
}

uint64_t GgufTensor::num_rows() const {
  uint64_t rows = 1;
  for (size_t dim = 1; dim < shape.size(); ++dim) rows *= shape[dim];
  return rows;
}

Result<GgufFile> GgufFile::Open(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  return Parse(std::move(file));
}

Result<GgufFile> GgufFile::Parse(MappedFile file) {
  auto contents = ParseGguf(file.bytes());
  if (!contents)
    return MakeError(contents.error().code, file.path() + ": " + contents.error().message);
  GgufFile result;
  result.file_ = std::move(file);
  result.version_ = contents->version;
  result.metadata_ = std::move(contents->metadata);
  result.tensors_ = std::move(contents->tensors);
  result.tensor_index_ = std::move(contents->tensor_index);
  return result;
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

bool GgufFile::Has(std::string_view key) const { return metadata_.contains(key); }

Result<const GgufValue*> GgufFile::Get(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) {
    return MakeError(ErrorCode::kNotFound, path() + ": no key " + std::string(key));
  }
  return &found->second;
}

Error GgufFile::WrongType(std::string_view key, const GgufValue& value,
                          std::string_view wanted) const {
  std::string actual(GgufValueTypeName(value.type));
  if (const auto* array = std::get_if<GgufArray>(&value.value)) {
    actual += " of " + std::string(GgufValueTypeName(array->element_type));
  }
  return {ErrorCode::kCorrupt, path() + ": key " + std::string(key) + " is " + actual +
                                   ", expected " + std::string(wanted)};
}

Result<int64_t> GgufFile::GetInt(std::string_view key) const {
  HEARTH_ASSIGN_OR_RETURN(const GgufValue* value, Get(key));
  if (const auto* integer = std::get_if<int64_t>(&value->value)) return *integer;
  return tl::unexpected(WrongType(key, *value, "an integer"));
}

Result<double> GgufFile::GetFloat(std::string_view key) const {
  HEARTH_ASSIGN_OR_RETURN(const GgufValue* value, Get(key));
  if (const auto* real = std::get_if<double>(&value->value)) return *real;
  if (const auto* integer = std::get_if<int64_t>(&value->value))
    return static_cast<double>(*integer);
  return tl::unexpected(WrongType(key, *value, "a number"));
}

Result<bool> GgufFile::GetBool(std::string_view key) const {
  HEARTH_ASSIGN_OR_RETURN(const GgufValue* value, Get(key));
  if (const auto* boolean = std::get_if<bool>(&value->value)) return *boolean;
  return tl::unexpected(WrongType(key, *value, "BOOL"));
}

Result<std::string> GgufFile::GetString(std::string_view key) const {
  HEARTH_ASSIGN_OR_RETURN(const GgufValue* value, Get(key));
  if (const auto* text = std::get_if<std::string>(&value->value)) return *text;
  return tl::unexpected(WrongType(key, *value, "STRING"));
}

Result<const GgufArray*> GgufFile::GetArray(std::string_view key) const {
  HEARTH_ASSIGN_OR_RETURN(const GgufValue* value, Get(key));
  if (const auto* array = std::get_if<GgufArray>(&value->value)) return array;
  return tl::unexpected(WrongType(key, *value, "ARRAY"));
}

template <typename T>
Result<const std::vector<T>*> GgufFile::GetArrayOf(std::string_view key,
                                                   std::string_view wanted) const {
  HEARTH_ASSIGN_OR_RETURN(const GgufArray* array, GetArray(key));
  if (const auto* elements = std::get_if<std::vector<T>>(&array->values)) return elements;
  HEARTH_ASSIGN_OR_RETURN(const GgufValue* value, Get(key));
  return tl::unexpected(WrongType(key, *value, wanted));
}

Result<const std::vector<std::string>*> GgufFile::GetStringArray(std::string_view key) const {
  return GetArrayOf<std::string>(key, "ARRAY of STRING");
}

Result<const std::vector<int64_t>*> GgufFile::GetIntArray(std::string_view key) const {
  return GetArrayOf<int64_t>(key, "ARRAY of integers");
}

Result<const std::vector<double>*> GgufFile::GetFloatArray(std::string_view key) const {
  return GetArrayOf<double>(key, "ARRAY of floats");
}

Result<int64_t> GgufFile::GetIntOr(std::string_view key, int64_t fallback) const {
  return Has(key) ? GetInt(key) : fallback;
}

Result<double> GgufFile::GetFloatOr(std::string_view key, double fallback) const {
  return Has(key) ? GetFloat(key) : fallback;
}

Result<bool> GgufFile::GetBoolOr(std::string_view key, bool fallback) const {
  return Has(key) ? GetBool(key) : fallback;
}

}  // namespace hearth
