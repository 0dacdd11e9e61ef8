#pragma once
// The element types of tensors in model files: their block sizes and names. Numbers are GGUF's
// (ggml_type).
// Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hearth {

enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kBF16 = 30,
};

struct TensorTypeInfo {
  TensorType type;
  std::string_view name;  // as GGUF tools print it: "F32", "Q4_K"
  uint32_t block_size;    // elements per block
  uint32_t block_bytes;   // bytes per block
};

// Null for a type we do not have.
const TensorTypeInfo* FindTensorType(uint32_t gguf_type);
// Requires: a type of the enum.
const TensorTypeInfo& InfoOf(TensorType type);
std::optional<TensorType> TensorTypeFromName(std::string_view name);
// Name of any ggml type number, for messages about types we lack ("IQ2_XXS"); "type 99" style names
// are the caller's.
std::string_view GgmlTypeName(uint32_t gguf_type);

}  // namespace hearth
