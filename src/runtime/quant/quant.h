#pragma once
// Block formats: the scalar truth. Dequantises and quantises rows of every TensorType.
// Layouts: the ggml block structs as the GGUF specification refers to them; each .cc names the
// fields and bit positions.
// Thread-safe: pure functions.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "runtime/quant/tensor_type.h"

namespace hearth {

// IEEE binary16 and bfloat16 conversions, round to nearest even, NaN stays NaN.
float HalfToFloat(uint16_t half);
uint16_t FloatToHalf(float value);
float Bfloat16ToFloat(uint16_t value);
uint16_t FloatToBfloat16(float value);

// Bytes of a row of `num_elements`. Requires a multiple of the type's block size.
size_t RowBytes(TensorType type, size_t num_elements);

// Requires: src.size() == RowBytes(type, dst.size()).
void DequantizeRow(TensorType type, std::span<const std::byte> src, std::span<float> dst);

// Rounds to blocks, without an importance matrix. Q4_0 to Q8_0 span each block's range, as ggml
// does; the K-quants and IQ4_NL search scales that minimise the squared error weighted by x^2 +
// mean(x^2). Scales beyond binary16 saturate; in F16 itself a weight beyond it becomes infinity.
// NaN and infinities are the caller's bug (meaningless blocks, no undefined behaviour).
// Requires: dst.size() == RowBytes(type, src.size()).
void QuantizeRow(TensorType type, std::span<const float> src, std::span<std::byte> dst);

// The sixteen levels of IQ4_NL.
extern const int8_t kIq4NlLevels[16];

}  // namespace hearth
