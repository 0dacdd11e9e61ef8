#include "kit/safetensors.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <set>

#include "base/checked_math.h"
#include "kit/json_file.h"

namespace hearth {
namespace {

constexpr uint64_t kMaxHeaderBytes = uint64_t{100} << 20;  // the reference implementation's limit
constexpr size_t kMaxDimensions = 8;

tl::unexpected<Error> Corrupt(const std::string& name, const std::string& what) {
  return MakeError(ErrorCode::kCorrupt, "tensor \"" + name.substr(0, 200) + "\" " + what);
}

std::optional<TensorType> FloatType(const std::string& dtype) {
  if (dtype == "F32") return TensorType::kF32;
  if (dtype == "F16") return TensorType::kF16;
  if (dtype == "BF16") return TensorType::kBF16;
  return std::nullopt;
}

bool IsIntegral(const std::string& dtype) {
  static constexpr std::string_view kTypes[] = {"BOOL", "U8",  "I8",  "U16", "I16",
                                                "U32",  "I32", "U64", "I64"};
  return std::ranges::find(kTypes, dtype) != std::end(kTypes);
}

std::optional<uint64_t> Unsigned(const Json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  return value.get<uint64_t>();
}

// The tensor that a header entry describes; nothing for one of integers.
Result<std::optional<SafeTensor>> ParseEntry(const std::string& name, const Json& entry,
                                             std::span<const std::byte> data) {
  if (!entry.is_object()) return Corrupt(name, "is not described by an object");
  const Json* shape = JsonChild(entry, "shape");
  const Json* offsets = JsonChild(entry, "data_offsets");
  const auto dtype = JsonString(entry, "dtype").value_or(std::nullopt);
  if (!dtype) return Corrupt(name, "has no dtype");
  if (shape == nullptr || !shape->is_array() || shape->size() > kMaxDimensions)
    return Corrupt(name, "has no proper shape");
  if (offsets == nullptr || !offsets->is_array() || offsets->size() != 2)
    return Corrupt(name, "has no data_offsets");
  if (IsIntegral(*dtype)) return std::nullopt;
  const auto type = FloatType(*dtype);
  if (!type)
    return MakeError(ErrorCode::kUnsupported, "tensor \"" + name + "\" is of type " + *dtype +
                                                  "; F32, F16 and BF16 are read");

  SafeTensor tensor;
  tensor.name = name;
  tensor.type = *type;
  std::optional<uint64_t> size_bytes = InfoOf(*type).block_bytes;
  for (const Json& extent : *shape) {
    const auto value = Unsigned(extent);
    if (!value) return Corrupt(name, "has the extent " + extent.dump());
    tensor.shape.push_back(*value);
    if (size_bytes) size_bytes = CheckedMul(*size_bytes, *value);
  }
  const auto begin = Unsigned((*offsets)[0]), end = Unsigned((*offsets)[1]);
  if (!begin || !end || *begin > *end || *end > data.size()) {
    return Corrupt(name,
                   "lies at " + offsets->dump() + " of " + std::to_string(data.size()) + " bytes");
  }
  if (!size_bytes || *end - *begin != *size_bytes) {
    return Corrupt(
        name, "of shape " + shape->dump() + " has " + std::to_string(*end - *begin) + " bytes");
  }
  tensor.data = data.subspan(*begin, *end - *begin);
  return tensor;
}

}  // namespace

Result<std::vector<SafeTensor>> ParseSafetensors(std::span<const std::byte> bytes) {
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof(header_bytes))
    return MakeError(ErrorCode::kCorrupt, "the safetensors file is cut short");
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - sizeof(header_bytes)) {
    return MakeError(ErrorCode::kCorrupt,
                     "the safetensors header claims " + std::to_string(header_bytes) +
                         " bytes, the file has " + std::to_string(bytes.size()));
  }
  const auto header_text = bytes.subspan(sizeof(header_bytes), header_bytes);
  HEARTH_ASSIGN_OR_RETURN(
      const Json header,
      ParseJsonObject({reinterpret_cast<const char*>(header_text.data()), header_text.size()},
                      "the safetensors header"));
  const auto data = bytes.subspan(sizeof(header_bytes) + header_bytes);
  std::vector<SafeTensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    HEARTH_ASSIGN_OR_RETURN(std::optional<SafeTensor> tensor, ParseEntry(name, entry, data));
    if (tensor) tensors.push_back(std::move(*tensor));
  }
  std::vector<const SafeTensor*> in_file_order;
  for (const SafeTensor& tensor : tensors) {
    if (!tensor.data.empty()) in_file_order.push_back(&tensor);
  }
  std::ranges::sort(in_file_order, {},
                    [](const SafeTensor* tensor) { return tensor->data.data(); });
  for (size_t i = 1; i < in_file_order.size(); ++i) {
    const SafeTensor& before = *in_file_order[i - 1];
    if (before.data.data() + before.data.size() > in_file_order[i]->data.data()) {
      return Corrupt(before.name, "overlaps \"" + in_file_order[i]->name + "\"");
    }
  }
  return tensors;
}

Result<Checkpoint> Checkpoint::Open(const std::string& folder) {
  std::set<std::string> names;
  const std::string index_path = folder + "/model.safetensors.index.json";
  if (std::filesystem::exists(index_path)) {
    HEARTH_ASSIGN_OR_RETURN(const Json index, ReadJsonObject(index_path));
    const Json* map = JsonChild(index, "weight_map");
    if (map == nullptr) return MakeError(ErrorCode::kCorrupt, index_path + " has no weight_map");
    for (const auto& [tensor, file] : map->items()) {
      // Only names of files in the folder itself: nothing here may reach elsewhere.
      const std::string name = file.is_string() ? file.get<std::string>() : "";
      if (name.empty() || name.find('/') != std::string::npos || name == "..") {
        return MakeError(ErrorCode::kCorrupt,
                         index_path + ": \"" + tensor + "\" is said to be in " + file.dump());
      }
      names.insert(name);
    }
  } else {
    names.insert("model.safetensors");
  }
  Checkpoint checkpoint;
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name;
    HEARTH_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
    checkpoint.files_.push_back(std::make_unique<const MappedFile>(std::move(file)));
    auto tensors = ParseSafetensors(checkpoint.files_.back()->bytes());
    if (!tensors) return MakeError(tensors.error().code, path + ": " + tensors.error().message);
    for (SafeTensor& tensor : *tensors) {
      std::string key = tensor.name;
      if (!checkpoint.tensors_.emplace(std::move(key), std::move(tensor)).second) {
        return MakeError(ErrorCode::kCorrupt,
                         path + ": tensor \"" + tensor.name + "\" is in two files");
      }
    }
  }
  if (checkpoint.tensors_.empty())
    return MakeError(ErrorCode::kCorrupt, folder + " holds no weights");
  return checkpoint;
}

}  // namespace hearth
