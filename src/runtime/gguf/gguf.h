#pragma once
// Reads GGUF v2/v3 model files: metadata and tensor views over a memory map. The only code that
// parses model files. A file is hostile until proven otherwise: every size, offset, count, type and
// string is checked before use. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
// Threads: immutable after Open.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "runtime/quant/tensor_type.h"

namespace hearth {

enum class GgufValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// "UINT32", for messages.
std::string_view GgufValueTypeName(GgufValueType type);

// An array keeps its elements widened: integers and bools as int64_t (uint64_t above 2^63 is
// refused), floats as double.
struct GgufArray {
  GgufValueType element_type = GgufValueType::kUint8;
  std::variant<std::vector<int64_t>, std::vector<double>, std::vector<std::string>> values;
  size_t size() const;
};

struct GgufValue {
  GgufValueType type = GgufValueType::kUint8;
  std::variant<int64_t, double, bool, std::string, GgufArray> value;
};

// A tensor as stored: rows are contiguous, dimension 0 is the fastest (GGUF order).
struct GgufTensor {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<uint64_t> shape;      // [ne0, ne1, ...], 1 to 4 dimensions, none zero
  size_t file_offset = 0;           // of data.front() in the file
  std::span<const std::byte> data;  // view into the mapped file

  uint64_t num_columns() const { return shape[0]; }  // K: inputs of a matrix
  uint64_t num_rows() const;                         // product of the other dimensions
  size_t row_bytes() const { return data.size() / num_rows(); }
};

class GgufFile {
 public:
  // Errors: kNotFound, kIo, kCorrupt (each message names the key or tensor and the value),
  // kUnsupported (types we lack, split files, big-endian files, versions other than 2 and 3).
  static Result<GgufFile> Open(const std::string& path);
  // The same for a file that is mapped already.
  static Result<GgufFile> Parse(MappedFile file);

  uint32_t version() const { return version_; }
  const std::string& path() const { return file_.path(); }
  const MappedFile& file() const { return file_; }

  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* FindTensor(std::string_view name) const;  // null when absent
  bool Has(std::string_view key) const;

  // Typed access. A missing key is kNotFound, a value of another type or out of range is kCorrupt;
  // both name the key.
  Result<int64_t> GetInt(std::string_view key) const;   // any integer type
  Result<double> GetFloat(std::string_view key) const;  // any float or integer type
  Result<bool> GetBool(std::string_view key) const;
  Result<std::string> GetString(std::string_view key) const;
  Result<const GgufArray*> GetArray(std::string_view key) const;
  Result<const std::vector<std::string>*> GetStringArray(std::string_view key) const;
  Result<const std::vector<int64_t>*> GetIntArray(std::string_view key) const;
  Result<const std::vector<double>*> GetFloatArray(std::string_view key) const;
  // The same with a default for a missing key; a value of the wrong type is still an error.
  Result<int64_t> GetIntOr(std::string_view key, int64_t fallback) const;
  Result<double> GetFloatOr(std::string_view key, double fallback) const;
  Result<bool> GetBoolOr(std::string_view key, bool fallback) const;

 private:
  Result<const GgufValue*> Get(std::string_view key) const;
  Error WrongType(std::string_view key, const GgufValue& value, std::string_view wanted) const;
  template <typename T>
  Result<const std::vector<T>*> GetArrayOf(std::string_view key, std::string_view wanted) const;

  MappedFile file_;
  uint32_t version_ = 0;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> tensor_index_;
};

}  // namespace hearth
